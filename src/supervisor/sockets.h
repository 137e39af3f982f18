/* The listening sockets of all daemons. wardd makes them and keeps them open, so that a daemon's
 * restart loses no caller; the next wardd takes them over from a daemon that still runs. */
#pragma once
#include "supervisor/table.h"

enum { ROW_FDS_MAX = ROW_SOCKETS + 2 * PLATFORM_LISTEN_MAX };

struct row_fds {
	size_t n;
	struct row_fd {
		char name[24]; /* in LISTEN_FDNAMES */
		int fd;
	} v[ROW_FDS_MAX];
};

/* All of a row's sockets; `from` (0: none) is a running process that was given them before. */
int sockets_open(const struct settings *s, enum row row, pid_t from, struct row_fds *ret,
    struct err *e) must_check;
