/* One start of a link or a monitor: checked, limited, and handed to ward-jail. */
#pragma once
#include "proto/ipc_wardd.h"
#include "supervisor/settings.h"

int cage_start_check(const struct settings *s, const struct wardd_cage_start *ask, int tap,
    struct err *e) must_check;
int cage_start_limits(const struct settings *s, const struct wardd_cage_start *ask,
    const char *cgroup, struct err *e) must_check;
/* Returns when the cage stands and its program runs in it, with what its guest's console says (a
 * link: -1); what ward-jail could not do is the error. */
int cage_start_process(const struct settings *s, const struct wardd_cage_start *ask, int tap,
    int *ret_console, pid_t *ret_pid, struct err *e) must_check;
