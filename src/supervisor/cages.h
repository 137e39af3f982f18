/* The machines' cages: starts their two processes by ward-jail, watches them, adopts those of an
 * earlier wardd. */
#pragma once
#include "proto/ipc_wardd.h"
#include "supervisor/settings.h"
#include <systemd/sd-event.h>

struct cages;
/* Called for each end of a process in a cage. */
typedef void (*cages_exited_fn)(void *arg, const struct wardd_exited *x);

int cages_new(struct cages **ret, const struct settings *s, sd_event *loop, cages_exited_fn exited,
    void *arg, struct err *e) must_check;

/* Everything in ask is checked here first. tap: -1 for a link. The same role and generation running
 * already: its pid, and nothing else happens. */
int cages_start(struct cages *c, const struct wardd_cage_start *ask, int tap, pid_t *ret_pid,
    struct err *e) must_check;
/* Kills all of it, removes its cgroup, gives its files back to the agent. Fine when there is none.
 */
int cages_stop(struct cages *c, const char *machine, struct err *e) must_check;
void cages_list(const struct cages *c, struct wardd_cage_list *ret);
bool cages_reaped(struct cages *c, pid_t pid, int status); /* false: it is none of these */
/* Asks each running machine to end; returns how many were asked. */
unsigned cages_ask_all(struct cages *c);
unsigned cages_running(const struct cages *c); /* monitors */
void cages_stop_all(struct cages *c);
/* Removes run folders and logs of machines that are no more. Now and then. */
void cages_tidy(struct cages *c);
