/* The guest's serial console: its kernel's and init's own words, for when a guest does not come up.
 */
#pragma once
#include "base/err.h"
#include "base/util.h"

/* Appends what was written to <dir>/machine-<machine>.log, and closes. *fd -1: nothing. */
void console_save(int *fd, const char *dir, const char *machine);
