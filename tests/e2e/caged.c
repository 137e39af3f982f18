/* Stands in a cage where ward-link or ward-vmm would be, and behaves badly: test_jail.py writes the
 * name of one attack to /run/attack and reads what came of it from /run/result (or sees the signal
 * that killed it). */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

static void say(const char *fmt, ...)
{
	char text[4096];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	int fd = open("/run/result.tmp", O_CREAT | O_WRONLY | O_TRUNC, 0600);
	if (write(fd, text, (size_t)n) != n)
		_exit(9);
	close(fd);
	rename("/run/result.tmp", "/run/result");
}

static const char *came_of(int ok)
{
	return ok ? "done" : strerrorname_np(errno);
}

static void list(char *dst, size_t size, const char *path)
{
	DIR *d = opendir(path);
	size_t n = 0;
	*dst = 0;
	if (!d) {
		snprintf(dst, size, "%s", strerrorname_np(errno));
		return;
	}
	for (struct dirent *de; (de = readdir(d)) && n < size - 300;)
		if (de->d_name[0] != '.')
			n += (size_t)snprintf(dst + n, size - n, "%s ", de->d_name);
	closedir(d);
}

static void *idle(void *p)
{
	pause();
	return p;
}

static void identity(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct c[2] = { 0 };
	struct rlimit core;
	char name[64] = "", fds[256] = "", env = environ[0] != NULL;
	syscall(SYS_capget, &h, c);
	getrlimit(RLIMIT_CORE, &core);
	gethostname(name, sizeof(name));
	size_t n = 0;
	for (int fd = 0; fd < 4096; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			n += (size_t)snprintf(fds + n, sizeof(fds) - n, "%d ", fd);
	int caps = c[0].permitted || c[1].permitted || c[0].effective || c[1].effective ||
		   c[0].inheritable || prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 1;
	say("uid=%u gid=%u groups=%d pid=%d caps=%d nnp=%d seccomp=%d core=%lu host=%s env=%d "
	    "fds=%s",
	    getuid(), getgid(), getgroups(0, NULL), getpid(), caps,
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_SECCOMP, 0, 0, 0, 0),
	    core.rlim_max, name, env, fds);
}

static void look_around(void)
{
	char root[1024], proc[256], boot[256], disk[256], dev[512];
	list(root, sizeof(root), "/");
	list(proc, sizeof(proc), "/proc");
	list(boot, sizeof(boot), "/boot");
	list(disk, sizeof(disk), "/disk");
	list(dev, sizeof(dev), "/dev");
	int others = 0;
	for (pid_t p = 2; p < 200000; p++)
		others += kill(p, 0) == 0 || errno == EPERM;
	say("/: %s\n/proc: %s\n/boot: %s\n/disk: %s\n/dev: %s\nothers: %d", root, proc, boot, disk,
	    dev, others);
}

static void files(void)
{
	static const struct {
		const char *path;
		int flags;
	} tries[] = { { "/etc/shadow", O_RDONLY }, { "/etc/ward/ward.toml", O_RDONLY },
		{ "/new", O_WRONLY | O_CREAT }, { "/etc/new", O_WRONLY | O_CREAT },
		{ "/usr/lib/new", O_WRONLY | O_CREAT }, { "/dev/kvm", O_RDWR },
		{ "/dev/mem", O_RDWR }, { "/dev/net/tun", O_RDWR }, { "/boot/vmlinux", O_RDWR },
		{ "/disk/root", O_RDWR }, { "/disk/root", O_RDONLY }, { "/disk/scratch", O_RDWR },
		{ "/run/mine", O_WRONLY | O_CREAT }, { "/state/mine", O_WRONLY | O_CREAT },
		{ "/lib/../../../../../../etc/shadow", O_RDONLY } };
	char text[2048];
	size_t n = 0;
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		int fd = open(tries[i].path, tries[i].flags | O_CLOEXEC, 0600);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %s %s\n", tries[i].path,
		    tries[i].flags & O_RDWR     ? "rw"
		    : tries[i].flags & O_WRONLY ? "new"
						: "r",
		    came_of(fd >= 0));
	}
	say("%s", text);
}

static void run_own_code(void)
{
	int fd = open("/run/code", O_CREAT | O_WRONLY, 0700);
	static const char script[] = "#!/bin/sh\n";
	if (write(fd, script, sizeof(script) - 1) < 0)
		_exit(9);
	close(fd);
	char *argv[] = { "code", NULL };
	execve("/run/code", argv, argv + 1);
	say("exec %s, remount %s", came_of(0), "not tried");
}

static void threads(void)
{
	pthread_t t;
	int n = 0;
	while (n < 4000 && pthread_create(&t, NULL, idle, NULL) == 0)
		n++;
	say("threads=%d", n);
}

static void memory(void)
{
	for (size_t mib = 0;; mib++) {
		char *p =
		    mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			_exit(7);
		memset(p, 1, 1 << 20);
	}
}

static void sockets(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(22) };
	inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	const char *inet = came_of(fd >= 0 && connect(fd, (void *)&a, sizeof(a)) == 0);
	const char *packet = came_of(socket(AF_PACKET, SOCK_RAW, 0) >= 0),
		   *vsock = came_of(socket(AF_VSOCK, SOCK_STREAM, 0) >= 0);
	const char *netlink = came_of(socket(AF_NETLINK, SOCK_RAW, 0) >= 0),
		   *local = came_of(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
	say("inet=%s packet=%s vsock=%s netlink=%s unix=%s", inet, packet, vsock, netlink, local);
}

/* Fills the host's disk by way of its own. */
static void grow(void)
{
	signal(SIGXFSZ, SIG_IGN);
	int fd = open("/disk/scratch", O_RDWR);
	const char *within = came_of(fallocate(fd, 0, 0, 1 << 20) == 0),
		   *beyond = came_of(fallocate(fd, 0, 0, 65LL << 20) == 0);
	say("within=%s beyond=%s", within, beyond);
}

/* A guest's last words. */
static void console(void)
{
	int fd = open("/console/log", O_WRONLY | O_APPEND);
	say("%s", came_of(write(fd, "Kernel panic\033[2J\n", 17) == 17));
}

static void call(long number, long a, long b, long c)
{
	/* a fourth argument that matters to openat alone */
	long r = syscall(number, a, b, c, 02755, 0, 0);
	say("%s", r < 0 ? strerrorname_np(errno) : "done");
}

int main(void)
{
	static const struct {
		const char *name;
		void (*act)(void);
	} acts[] = { { "identity", identity }, { "look", look_around }, { "files", files },
		{ "exec", run_own_code }, { "threads", threads }, { "memory", memory },
		{ "sockets", sockets }, { "grow", grow }, { "console", console } };
	static const struct {
		const char *name;
		long number, a, b, c;
	} calls[] = { { "setuid", SYS_setuid, 0, 0, 0 },
		{ "unshare", SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS, 0, 0 },
		{ "mount", SYS_mount, (long)"x", (long)"/run", (long)"tmpfs" },
		{ "ptrace", SYS_ptrace, PTRACE_ATTACH, 1, 0 }, { "fork", SYS_fork, 0, 0, 0 },
		{ "bpf", SYS_bpf, 0, 0, 0 }, { "keyctl", SYS_keyctl, 0, 0, 0 },
		{ "io_uring", SYS_io_uring_setup, 4, 0, 0 },
		{ "mknod", SYS_mknod, (long)"/run/dev", S_IFBLK | 0600, 0x801 },
		{ "userfaultfd", SYS_userfaultfd, 0, 0, 0 }, { "setns", SYS_setns, 0, 0, 0 },
		{ "chroot", SYS_chroot, (long)"/run", 0, 0 },
		{ "chmod-suid", SYS_chmod, (long)"/run/mine", 04755, 0 },
		{ "open-sgid", SYS_openat, AT_FDCWD, (long)"/run/mine", O_CREAT | O_WRONLY },
		{ "open-plain", SYS_openat, AT_FDCWD, (long)"/run/attack", O_RDONLY } };
	char name[64] = "";
	int fd = open("/run/attack", O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);
	if (n > 0)
		close(fd); /* none: only stands there */
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		if (!strcmp(acts[i].name, name))
			acts[i].act();
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(calls[i].name, name))
			call(calls[i].number, calls[i].a, calls[i].b, calls[i].c);
	pause();
	return 0;
}
