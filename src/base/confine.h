/* The last thing each main does before its loop: gives up, for good, what the program does not
 * need. wardd has by then already taken root, capabilities, the network and the file system away
 * (its own user, namespaces, rlimits). */
#pragma once
#include "base/err.h"

/* Rights kept on top of the common ones (memory, time, poll/epoll, read/write on open fds, signals
 * to itself, exit). */
enum confine_right {
	CONFINE_FILES_READ = 1 << 0,  /* open for reading, stat, readdir */
	CONFINE_FILES_WRITE = 1 << 1, /* create, rename, unlink, mkdir, fsync, truncate */
	CONFINE_UNIX = 1 << 2,        /* unix sockets: connect, accept, pass fds */
	CONFINE_INET = 1 << 3,        /* TCP and UDP sockets */
	CONFINE_NETLINK = 1 << 4,
	CONFINE_SPAWN = 1 << 5, /* fork, execve, wait, kill */
	CONFINE_THREADS = 1 << 6,
	CONFINE_TUN = 1 << 7, /* ioctl TUNSETIFF and the like */
	CONFINE_TTY = 1 << 8,
	CONFINE_BPF = 1 << 9,
	CONFINE_MLOCK = 1 << 10,
};

/* no_new_privs, RLIMIT_CORE 0, not dumpable, and a seccomp filter that kills the process (logged)
 * on any other call. Filters exist for x86_64 alone; another architecture's call kills too.
 * A few calls that libraries can do without are refused instead: reading files (EACCES), sockets of
 * other families when some are held (EAFNOSUPPORT), openat2 and clone3 (ENOSYS). May be called
 * again with fewer rights. Memory is never writable and executable. CONFINE_SPAWN lets a program
 * read files too: what it starts inherits the filter, so give it the rights its children need. */
int confine(unsigned rights, struct err *e) must_check;
