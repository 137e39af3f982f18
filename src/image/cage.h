/* The two children in which an image's bytes are looked at. */
#pragma once
#include "base/err.h"
#include "base/util.h"

/* The merger: nothing but memory and reading and writing the fds named. Cannot open, connect, start
 * or signal anything. */
int cage_merger(const int *keep, size_t n, struct err *e) must_check;

/* tar2sqfs: writes its one file; starts threads; no sockets. Called before execve; fds 0 to 2 stay.
 */
int cage_writer(uint64_t file_max, struct err *e) must_check;
