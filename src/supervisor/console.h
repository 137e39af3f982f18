/* The guest's serial console: its kernel's and init's own words, for when a guest does not come up.
 */
#pragma once
#include "base/err.h"
#include "base/util.h"
#include <sys/types.h>

/* The console of a monitor that runs, out of its own mounts; -1: none that can be had. */
int console_of(pid_t pid);
/* Appends what was written to <dir>/machine-<machine>.log, and closes. *fd -1: nothing. */
void console_save(int *fd, const char *dir, const char *machine);
