#include "base/confine.h"
#include "base/util.h"
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum {
	ALWAYS = 0,
	SOCKETS = CONFINE_UNIX | CONFINE_INET | CONFINE_NETLINK,
	/* Programs started later need a loader that reads files, and devices to open. */
	READS = CONFINE_FILES_READ | CONFINE_FILES_WRITE | CONFINE_SPAWN,
	OPENS_DEVICES = CONFINE_SPAWN | CONFINE_TUN | CONFINE_TTY,
	NEW_NAMESPACE = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
			CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET,
};

/* Calls allowed whatever their arguments: for everybody (ALWAYS), or to who has any of `rights`. */
struct group {
	unsigned rights;
	int calls[72]; /* ends at the first 0 that is not the first element: read() is number 0 */
};
static const struct group groups[] = {
	{ ALWAYS,
	    { SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64),
		SCMP_SYS(pwrite64), SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(preadv2),
		SCMP_SYS(pwritev2), SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(close_range),
		SCMP_SYS(fstat), SCMP_SYS(fcntl), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3),
		SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(sendfile), SCMP_SYS(splice),
		SCMP_SYS(tee), SCMP_SYS(copy_file_range), SCMP_SYS(flock), SCMP_SYS(fsync),
		SCMP_SYS(fdatasync), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fadvise64),
		SCMP_SYS(memfd_create) } },
	{ ALWAYS,
	    { SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(msync),
		SCMP_SYS(mincore), SCMP_SYS(futex), SCMP_SYS(set_robust_list),
		SCMP_SYS(get_robust_list), SCMP_SYS(rseq), SCMP_SYS(set_tid_address),
		SCMP_SYS(arch_prctl), SCMP_SYS(membarrier), SCMP_SYS(restart_syscall),
		SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(sched_yield) } },
	{ ALWAYS,
	    { SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6),
		SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
		SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
		SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
		SCMP_SYS(timerfd_gettime), SCMP_SYS(signalfd4), SCMP_SYS(rt_sigaction),
		SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigpending),
		SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_sigsuspend), SCMP_SYS(sigaltstack),
		SCMP_SYS(pause), SCMP_SYS(alarm), SCMP_SYS(getitimer), SCMP_SYS(setitimer) } },
	{ ALWAYS, { SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep),
		      SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(times),
		      SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid),
		      SCMP_SYS(getpgrp), SCMP_SYS(getpgid), SCMP_SYS(getsid), SCMP_SYS(getuid),
		      SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getresuid),
		      SCMP_SYS(getresgid), SCMP_SYS(getgroups), SCMP_SYS(capget), SCMP_SYS(uname),
		      SCMP_SYS(sysinfo), SCMP_SYS(getrusage), SCMP_SYS(getrlimit),
		      SCMP_SYS(getpriority), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_getparam),
		      SCMP_SYS(sched_getscheduler), SCMP_SYS(getcpu), SCMP_SYS(pidfd_open),
		      SCMP_SYS(seccomp) } }, /* a further filter only takes away */
	{ SOCKETS, { SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(recvfrom),
		       SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), SCMP_SYS(shutdown),
		       SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname),
		       SCMP_SYS(getpeername), SCMP_SYS(connect), SCMP_SYS(accept),
		       SCMP_SYS(accept4), SCMP_SYS(bind), SCMP_SYS(listen) } },
	{ READS, { SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
		     SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
		     SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents),
		     SCMP_SYS(getdents64), SCMP_SYS(getcwd), SCMP_SYS(chdir), SCMP_SYS(fchdir),
		     SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(getxattr), SCMP_SYS(lgetxattr),
		     SCMP_SYS(fgetxattr), SCMP_SYS(listxattr), SCMP_SYS(llistxattr),
		     SCMP_SYS(flistxattr), SCMP_SYS(inotify_init1), SCMP_SYS(inotify_add_watch),
		     SCMP_SYS(inotify_rm_watch), SCMP_SYS(readahead), SCMP_SYS(umask) } },
	{ CONFINE_FILES_WRITE,
	    { SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(creat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat),
		SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rmdir), SCMP_SYS(rename),
		SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(link), SCMP_SYS(linkat),
		SCMP_SYS(symlink), SCMP_SYS(symlinkat), SCMP_SYS(chmod), SCMP_SYS(fchmod),
		SCMP_SYS(fchmodat), SCMP_SYS(chown), SCMP_SYS(lchown), SCMP_SYS(fchown),
		SCMP_SYS(fchownat), SCMP_SYS(utime), SCMP_SYS(utimes), SCMP_SYS(futimesat),
		SCMP_SYS(utimensat), SCMP_SYS(truncate), SCMP_SYS(setxattr), SCMP_SYS(lsetxattr),
		SCMP_SYS(fsetxattr), SCMP_SYS(removexattr), SCMP_SYS(lremovexattr),
		SCMP_SYS(fremovexattr), SCMP_SYS(sync), SCMP_SYS(syncfs),
		SCMP_SYS(sync_file_range) } },
	{ CONFINE_SPAWN,
	    { SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(kill),
		SCMP_SYS(tkill), SCMP_SYS(tgkill), SCMP_SYS(pidfd_send_signal), SCMP_SYS(wait4),
		SCMP_SYS(waitid), SCMP_SYS(setpgid), SCMP_SYS(setsid), SCMP_SYS(prctl),
		SCMP_SYS(prlimit64), SCMP_SYS(setrlimit), SCMP_SYS(setpriority),
		SCMP_SYS(sched_setaffinity), SCMP_SYS(ioprio_set), SCMP_SYS(eventfd),
		SCMP_SYS(signalfd), SCMP_SYS(inotify_init) } },
	{ CONFINE_THREADS, { SCMP_SYS(sched_setaffinity), SCMP_SYS(setpriority) } },
	{ CONFINE_BPF, { SCMP_SYS(bpf) } },
	{ CONFINE_MLOCK, { SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(mlockall),
			     SCMP_SYS(munlockall) } },
};

/* ioctl requests by right; any other kills. */
struct request {
	unsigned rights;
	unsigned long number;
};
static const struct request requests[] = {
	{ ALWAYS, FIONREAD },
	{ ALWAYS, FIONBIO },
	{ ALWAYS, FIOCLEX },
	{ ALWAYS, FIONCLEX },
	{ ALWAYS, TCGETS }, /* isatty, which stdio asks */
	{ CONFINE_INET | CONFINE_NETLINK | CONFINE_TUN, SIOCGIFINDEX },
	{ CONFINE_INET | CONFINE_NETLINK | CONFINE_TUN, SIOCGIFNAME },
	{ CONFINE_INET | CONFINE_NETLINK | CONFINE_TUN, SIOCGIFFLAGS },
	{ CONFINE_TUN, SIOCSIFFLAGS },
	{ CONFINE_TUN, SIOCGIFHWADDR },
	{ CONFINE_TUN, SIOCSIFHWADDR },
	{ CONFINE_TUN, SIOCGIFMTU },
	{ CONFINE_TUN, SIOCSIFMTU },
	{ CONFINE_TUN, TUNSETIFF },
	{ CONFINE_TUN, TUNGETIFF },
	{ CONFINE_TUN, TUNGETFEATURES },
	{ CONFINE_TUN, TUNSETOFFLOAD },
	{ CONFINE_TUN, TUNSETPERSIST },
	{ CONFINE_TUN, TUNSETOWNER },
	{ CONFINE_TUN, TUNSETGROUP },
	{ CONFINE_TUN, TUNSETQUEUE },
	{ CONFINE_TUN, TUNSETSNDBUF },
	{ CONFINE_TUN, TUNSETVNETHDRSZ },
	{ CONFINE_TUN, TUNGETVNETHDRSZ },
	{ CONFINE_TTY, TCSETS },
	{ CONFINE_TTY, TCSETSW },
	{ CONFINE_TTY, TCSETSF },
	{ CONFINE_TTY | CONFINE_SPAWN, TIOCGWINSZ },
	{ CONFINE_TTY, TIOCSWINSZ },
	{ CONFINE_TTY, TIOCSCTTY },
	{ CONFINE_TTY, TIOCGPTN },
	{ CONFINE_TTY, TIOCSPTLCK },
	{ CONFINE_TTY, TIOCGPGRP },
	{ CONFINE_TTY, TIOCSPGRP },
};

/* What prctl may be asked by who does not start programs. */
static const int prctls[] = { PR_SET_NAME, PR_GET_NAME, PR_SET_PDEATHSIG, PR_GET_PDEATHSIG,
	PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_GET_DUMPABLE, PR_SET_SECCOMP, PR_GET_SECCOMP,
	PR_SET_VMA, PR_SET_TIMERSLACK, PR_CAPBSET_READ };

struct filter {
	scmp_filter_ctx ctx;
	unsigned rights;
	int failed; /* the first failure; rules after it are not tried */
};

static bool held(const struct filter *f, unsigned rights)
{
	return rights == ALWAYS || (f->rights & rights);
}

static void rule(
    struct filter *f, uint32_t action, int call, unsigned n, const struct scmp_arg_cmp *args)
{
	if (f->failed == 0)
		f->failed = seccomp_rule_add_array(f->ctx, action, call, n, args);
}

static void allow(struct filter *f, int call)
{
	rule(f, SCMP_ACT_ALLOW, call, 0, NULL);
}

static void allow_if(struct filter *f, int call, struct scmp_arg_cmp a)
{
	rule(f, SCMP_ACT_ALLOW, call, 1, &a);
}

static void answer(struct filter *f, int num, int call)
{
	rule(f, SCMP_ACT_ERRNO((unsigned)num), call, 0, NULL);
}

static struct scmp_arg_cmp masked(unsigned arg, uint64_t mask, uint64_t value)
{
	return (struct scmp_arg_cmp){ arg, SCMP_CMP_MASKED_EQ, mask, value };
}

static struct scmp_arg_cmp equal(unsigned arg, uint64_t value)
{
	return (struct scmp_arg_cmp){ arg, SCMP_CMP_EQ, value, 0 };
}

static void add_memory(struct filter *f)
{
	/* Nothing is writable and executable at once, nor becomes executable later. A library
	 * loaded late maps its code straight from the file, which passes. */
	allow_if(f, SCMP_SYS(mmap), masked(2, PROT_WRITE | PROT_EXEC, 0));
	allow_if(f, SCMP_SYS(mmap), masked(2, PROT_WRITE | PROT_EXEC, PROT_WRITE));
	allow_if(f, SCMP_SYS(mmap), masked(2, PROT_WRITE | PROT_EXEC, PROT_EXEC));
	allow_if(f, SCMP_SYS(mprotect), masked(2, PROT_EXEC, 0));
}

static void add_files(struct filter *f)
{
	/* fstat of an open fd is this call in glibc */
	if (!held(f, READS))
		allow_if(f, SCMP_SYS(newfstatat), masked(3, 0x1000 /* AT_EMPTY_PATH */, 0x1000));
	/* openat2 and clone3 hide their flags in memory a filter cannot read: their callers fall
	 * back to the older calls, which it can check. */
	answer(f, ENOSYS, SCMP_SYS(openat2));
	answer(f, ENOSYS, SCMP_SYS(clone3));
	if (held(f, CONFINE_FILES_WRITE))
		return;
	/* A library asks for small facts it can do without (sd-event for the boot's id, OpenSSL
	 * for its configuration): reading is refused, writing kills. */
	uint64_t creating = O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
	if (held(f, OPENS_DEVICES)) {
		allow_if(f, SCMP_SYS(openat), masked(2, creating, 0));
		allow_if(f, SCMP_SYS(open), masked(1, creating, 0));
	} else if (held(f, READS)) {
		allow_if(f, SCMP_SYS(openat), masked(2, creating | O_ACCMODE, O_RDONLY));
		allow_if(f, SCMP_SYS(open), masked(1, creating | O_ACCMODE, O_RDONLY));
	} else {
		struct scmp_arg_cmp at = masked(2, creating | O_ACCMODE, O_RDONLY);
		struct scmp_arg_cmp plain = masked(1, creating | O_ACCMODE, O_RDONLY);
		static const int others[] = { SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx),
			SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
			SCMP_SYS(readlink), SCMP_SYS(readlinkat) };
		rule(f, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 1, &at);
		rule(f, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(open), 1, &plain);
		for (size_t i = 0; i < countof(others); i++)
			answer(f, EACCES, others[i]);
	}
}

static void add_sockets(struct filter *f)
{
	if (!held(f, SOCKETS))
		return;
	static const struct request families[] = { { CONFINE_UNIX, AF_UNIX },
		{ CONFINE_INET, AF_INET }, { CONFINE_INET, AF_INET6 },
		{ CONFINE_NETLINK, AF_NETLINK } };
	/* A resolver asks for families it can do without: others answer, they do not kill. */
	for (unsigned family = 0; family < AF_MAX; family++) {
		bool may = false;
		for (size_t i = 0; i < countof(families); i++)
			may |= families[i].number == family && held(f, families[i].rights);
		if (may)
			allow_if(f, SCMP_SYS(socket), equal(0, family));
	}
	if (held(f, CONFINE_UNIX))
		allow_if(f, SCMP_SYS(socketpair), equal(0, AF_UNIX));
	for (size_t i = 0; i < countof(families); i++) {
		struct scmp_arg_cmp a = equal(0, families[i].number);
		if (!held(f, families[i].rights))
			rule(f, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, &a);
	}
}

static void add_processes(struct filter *f)
{
	if (held(f, CONFINE_SPAWN)) {
		allow_if(f, SCMP_SYS(clone), masked(0, NEW_NAMESPACE, 0));
		return;
	}
	if (held(f, CONFINE_THREADS))
		allow_if(f, SCMP_SYS(clone), masked(0, NEW_NAMESPACE | CLONE_THREAD, CLONE_THREAD));
	/* abort() and raise() */
	allow_if(f, SCMP_SYS(tgkill), equal(0, (uint64_t)getpid()));
	allow_if(f, SCMP_SYS(kill), equal(0, (uint64_t)getpid()));
	allow_if(f, SCMP_SYS(prlimit64), equal(0, 0));
	for (size_t i = 0; i < countof(prctls); i++)
		allow_if(f, SCMP_SYS(prctl), equal(0, (uint64_t)prctls[i]));
	struct scmp_arg_cmp zero[] = { equal(0, PR_SET_DUMPABLE), equal(1, 0) };
	rule(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 2, zero);
}

/* A leak or error report stops the threads with ptrace, and reads /proc. Only the build for tests
 * has this, and it is the only difference of such a build. */
static void add_sanitizer(struct filter *f)
{
	static const int calls[] = { SCMP_SYS(ptrace), SCMP_SYS(clone), SCMP_SYS(wait4),
		SCMP_SYS(waitid), SCMP_SYS(prctl), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
		SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(getdents64), SCMP_SYS(stat),
		SCMP_SYS(newfstatat), SCMP_SYS(getcwd), SCMP_SYS(process_vm_readv),
		SCMP_SYS(sched_setaffinity), SCMP_SYS(kill), SCMP_SYS(tgkill) };
	for (size_t i = 0; SANITIZED && i < countof(calls); i++)
		allow(f, calls[i]);
}

static void add_rules(struct filter *f)
{
	for (size_t i = 0; i < countof(groups); i++)
		if (held(f, groups[i].rights))
			for (size_t k = 0; k < countof(groups[i].calls); k++) {
				if (!groups[i].calls[k] && (k || groups[i].rights))
					break;
				allow(f, groups[i].calls[k]);
			}
	for (size_t i = 0; i < countof(requests); i++)
		if (held(f, requests[i].rights))
			allow_if(f, SCMP_SYS(ioctl), equal(1, requests[i].number));
	add_memory(f);
	add_files(f);
	add_sockets(f);
	add_processes(f);
	add_sanitizer(f);
}

int confine(unsigned rights, struct err *e)
{
	static const struct rlimit none = { 0, 0 };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_sys(e, errno, "cannot set no_new_privs");
	if (setrlimit(RLIMIT_CORE, &none))
		return err_sys(e, errno, "cannot forbid core files");
	if (!SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return err_sys(e, errno, "cannot become undumpable");
	struct filter f = { seccomp_init(SCMP_ACT_KILL_PROCESS), rights, 0 };
	if (!f.ctx)
		return err_set(e, ERR_NO_MEMORY, "no memory for the seccomp filter");
	f.failed = seccomp_attr_set(f.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (f.failed == 0) /* all threads, should there be some already */
		f.failed = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (f.failed == 0) /* a binary tree: the edge makes many calls */
		f.failed = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	add_rules(&f);
	int r = f.failed ? f.failed : seccomp_load(f.ctx);
	seccomp_release(f.ctx);
	if (r < 0) {
		err_set(e, ERR_WALL, "cannot set the seccomp filter: %s", strerror(-r));
		return r;
	}
	return 0;
}
