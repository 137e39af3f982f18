/* pid 1's own words: a line of the log's "system" stream, and of the kernel's log (the console) for
 * when nobody listens. */
#pragma once
#include "base/err.h"

void say(const char *fmt, ...) printf_like(1, 2);
