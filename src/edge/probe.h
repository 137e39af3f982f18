/* Carrying out checks: one probe is one check of one run of one machine. */
#pragma once
#include "edge/record.h"
#include <systemd/sd-event.h>

struct probes;
struct probe {
	struct probe *next;
	struct probes *all;
	char machine[MACHINE_ID_LEN + 1];
	int64_t generation;
	uint8_t ipv4[4];
	struct record_check spec;
	struct check check;
	char output[200];
	char updated_at[32];
	bool seen; /* still wanted, while the set is compared */
	/* under way */
	int fd;
	sd_event_source *io, *timer;
	size_t sent, got, scanned;
	char answer[8192];
};

struct probes {
	sd_event *loop;
	sd_event_source *wake;
	struct probe *first;
	unsigned running;
	void (*changed)(void *arg, struct probe *p); /* its status is another */
	void *arg;
};

void probes_init(
    struct probes *ps, sd_event *loop, void (*changed)(void *arg, struct probe *p), void *arg);
/* Between begin and end every wanted check is named once; what was not is given up. known: what an
 * earlier watcher knew of this run. */
void probes_begin(struct probes *ps);
struct probe *probes_want(struct probes *ps, const struct record_machine *m,
    const struct record_check *c, enum check_status known);
void probes_end(struct probes *ps);
