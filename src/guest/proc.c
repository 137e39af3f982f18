#include "guest/proc.h"
#include "base/clock.h"
#include "base/str.h"
#include "guest/loop.h"
#include "guest/root.h"
#include "guest/say.h"
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static struct proc *procs;
static struct watch child_watch;

static void reap(void *arg, uint32_t events)
{
	struct signalfd_siginfo si;
	int status;
	pid_t pid;
	while (read(child_watch.fd, &si, sizeof si) == sizeof si)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (struct proc **p = &procs, *q; (q = *p); p = &q->next)
			if (q->pid == pid) {
				*p = q->next;
				q->pid = 0;
				if (q->ended)
					q->ended(q->arg,
					    WIFEXITED(status) ? WEXITSTATUS(status)
							      : 128 + WTERMSIG(status),
					    WIFSIGNALED(status) ? WTERMSIG(status) : 0);
				break;
			}
}

void proc_init(void)
{
	sigset_t set;
	sigfillset(&set);
	sigdelset(&set, SIGSEGV);
	sigdelset(&set, SIGBUS);
	sigdelset(&set, SIGABRT);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	loop_add(&child_watch, fd, EPOLLIN, reap, NULL);
}

/* What the child could not do, told through a pipe that execve closes. */
struct failure {
	int num;
	char what[128];
};

static _Noreturn void die(int fd, const char *what, const char *name)
{
	struct failure f = { .num = errno };
	snprintf(f.what, sizeof f.what, "%s %.90s", what, name);
	(void)!write(fd, &f, sizeof f);
	_exit(127);
}

/* execve by PATH of the program's own environment, inside its own root. */
static void exec_path(const struct proc_start *s)
{
	const char *name = s->argv[0], *path = env_get(s->env, "PATH");
	int num = ENOENT;
	if (strchr(name, '/')) {
		execve(name, s->argv, s->env);
		return;
	}
	while (path && *path) {
		size_t n = strcspn(path, ":");
		char file[4096];
		if (snprintf(file, sizeof file, "%.*s/%s", (int)n, path, name) < (int)sizeof file) {
			execve(file, s->argv, s->env);
			if (errno != ENOENT && errno != ENOTDIR)
				num = errno;
		}
		path += n + (path[n] == ':');
	}
	errno = num;
}

static bool make_dir(const char *dir, const struct user *u)
{
	if (chdir(dir) == 0)
		return true;
	if (errno != ENOENT)
		return false;
	struct err e = { 0 };
	int r = root_mkdir(dir, 0755, &e);
	if (r < 0) {
		errno = -r;
		return false;
	}
	return chdir(dir) == 0 && chown(".", u->uid, u->gid) == 0;
}

static _Noreturn void child(const struct proc_start *s, int report)
{
	const struct user *u = s->user;
	sigset_t none;
	setsid();
	if (s->cgroup_fd >= 0) {
		int fd = openat(s->cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "0", 1) != 1)
			die(report, "cannot enter", "the app's cgroup");
	}
	int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (score >= 0)
		(void)!write(score, "0", 1);
	if (dup2(s->in, 0) < 0 || dup2(s->out, 1) < 0 || dup2(s->err, 2) < 0)
		die(report, "cannot set up", "standard input and output");
	if (s->terminal && ioctl(0, TIOCSCTTY, 0) < 0)
		die(report, "cannot take", "the terminal");
	/* The app may open /dev/stdout by name, which asks for the right to the pipe itself. */
	for (int i = 0; i < 3; i++)
		(void)!fchown(i, u->uid, s->terminal ? 5 : u->gid);
	if (root_enter() < 0)
		die(report, "cannot enter", "the image");
	if (!make_dir(s->dir, u))
		die(report, "working directory", s->dir);
	if (setgroups(u->ngroups, u->groups) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
	    setresuid(u->uid, u->uid, u->uid) < 0)
		die(report, "cannot become", "the image's user");
	umask(022);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	exec_path(s);
	die(report, "cannot run", s->argv[0]);
}

int proc_start(struct proc *p, const struct proc_start *s, struct err *e)
{
	int report[2];
	if (pipe2(report, O_CLOEXEC) < 0)
		return err_sys(e, errno, "no pipe");
	pid_t pid = fork();
	if (pid == 0)
		child(s, report[1]);
	close(report[1]);
	cleanup_close int from = report[0];
	if (pid < 0)
		return err_sys(e, errno, "cannot start a process");
	struct failure f;
	ssize_t n = read(from, &f, sizeof f);
	if (n == sizeof f) {
		(void)waitpid(pid, NULL, 0);
		f.what[sizeof f.what - 1] = 0;
		return err_sys(e, f.num, "%s", f.what);
	}
	p->pid = pid;
	p->next = procs;
	procs = p;
	return 0;
}

void proc_kill_all(void)
{
	/* Every process descends from pid 1, so when it has no child left, none is left. */
	uint64_t end = clock_mono_ms() + 2000;
	do {
		(void)kill(-1, SIGKILL);
		pid_t pid;
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (pid < 0 && errno == ECHILD)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 2 * 1000000 }, NULL);
	} while (clock_mono_ms() < end);
}
