/* Child processes: starting one inside the app's root, and reaping all (pid 1 inherits every
 * orphan). */
#pragma once
#include "guest/command.h"
#include "guest/users.h"
#include <sys/types.h>

struct proc {
	pid_t pid; /* 0: not running */
	void (*ended)(void *arg, int code, int signal);
	void *arg;
	struct proc *next;
};

struct proc_start {
	char *const *argv;
	char *const *env;
	const struct user *user;
	const char *dir;  /* made if absent, as the user's */
	int in, out, err; /* become 0, 1, 2 */
	bool terminal;    /* `in` is a terminal: it becomes the controlling one */
	int cgroup_fd;    /* an open cgroup folder to enter; -1: none */
};

void proc_init(void); /* watches for SIGCHLD */

/* Starts it as its own session. A failure before or in execve (not found, no permission, no such
 * folder) is an error here. */
int proc_start(struct proc *p, const struct proc_start *s, struct err *e) must_check;

/* Kills every process but pid 1 and waits until they are gone, at most 2 s. */
void proc_kill_all(void);
