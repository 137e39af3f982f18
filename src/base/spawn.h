/* Starting another program: execve with an argument vector, a scrubbed environment and exactly the
 * fds named. */
#pragma once
#include "base/err.h"
#include "base/util.h"
#include <sys/types.h>

struct spawn_fd {
	int fd;           /* stays the caller's */
	const char *name; /* for LISTEN_FDNAMES; fds become 3, 4, ... in order */
};

struct spawn {
	const char *path;                   /* absolute */
	const char *const *argv;            /* NULL-terminated, argv[0] included */
	const char *const *env;             /* NULL-terminated "K=V"; NULL: empty */
	int stdin_fd, stdout_fd, stderr_fd; /* -1: /dev/null for 0 and 1; stderr inherited */
	const struct spawn_fd *fds;
	size_t nfds;
	unsigned namespaces; /* CLONE_NEW*: the child is made in new ones (root) */
};

/* Starts it. *ret_pidfd (may be NULL) is close-on-exec and the caller's. A failed execve is
 * reported here, not as an exit code. */
int spawn_start(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd, struct err *e) must_check;

/* Runs it to its end within timeout_ms, collects at most max bytes of its stdout into *ret_out (may
 * be NULL; caller frees) and the first line of its stderr into the error. Killed when late.
 * Non-zero exit: ERR_SYSTEM. */
int spawn_run(
    const struct spawn *s, int timeout_ms, size_t max, char **ret_out, struct err *e) must_check;
