/* The daemons' own logs, <lib>/log/<name>.log, bounded: past 8 MiB a log becomes <name>.log.1 and
 * begins anew. Daemons write to the file itself, so that they do not need wardd to be alive. */
#pragma once
#include "base/err.h"
#include "base/util.h"

enum { LOG_MAX_BYTES = 8 << 20 };

/* For appending; the fd is the caller's. */
int logs_open(const char *dir, const char *name, struct err *e) must_check;
/* To be called every second or so, over all of the folder. */
void logs_rotate(const char *dir);
