/* What cages.c and cages_adopt.c share: the list itself. Not for others. */
#pragma once
#include "supervisor/cages.h"
#include "supervisor/record.h"

struct cage_run {
	struct cage *cage;
	uint32_t role, generation;
	struct process process; /* pid 0: not running */
	bool child;             /* ours; else adopted: its exit code cannot be known */
	sd_event_source *source;
	uint64_t oom_before;
	int console; /* what the guest's serial console said; -1: none */
};

struct cage {
	struct cages *all;
	char machine[MACHINE_ID_LEN + 2]; /* "": this place is free */
	uint32_t slot;
	struct cage_run run[WARDD_ROLE_MAX];
	int farewell; /* the question to stop, while it is open; else -1 */
};

struct cages {
	const struct settings *settings;
	sd_event *loop;
	cages_exited_fn exited;
	void *arg;
	struct cage cage[WARDD_MACHINES_MAX];
};

struct cage *cages_find(struct cages *c, const char *machine); /* "": a free place; NULL: none */
void cages_fill(struct cages *c, struct cage *cage, const struct wardd_cage_start *ask);
bool cages_alive(const struct cage *cage);
void cages_group(char dst[48], const struct cages *c, const char *machine); /* its cgroup's name */
int cages_on_adopted_end(
    sd_event_source *s, int fd, uint32_t events, void *data); /* data: struct cage_run */

void cages_note(const struct cage *cage); /* the record for the next wardd */
/* Takes over what records and cgroups tell of; ends what nobody can answer for. */
void cages_adopt(struct cages *c);
