#include "base/spawn.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { FIRST_FD = 3, FDS_MAX = 64, ENV_MAX = 128, STDERR_MAX = 4096 };

static int open_pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* The environment: the caller's, then LISTEN_FDS and LISTEN_FDNAMES. */
struct env {
	const char *v[ENV_MAX + 3];
	char count[24];
	struct buf names;
};

static int env_make(struct env *env, const struct spawn *s, struct err *e)
{
	size_t n = 0;
	for (; s->env && s->env[n]; n++) {
		if (n == ENV_MAX)
			return err_set(
			    e, ERR_TOO_LARGE, "more than %d environment variables", ENV_MAX);
		env->v[n] = s->env[n];
	}
	if (!s->nfds)
		return 0;
	if (s->nfds > FDS_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %d fds to pass", FDS_MAX);
	snprintf(env->count, sizeof(env->count), "LISTEN_FDS=%zu", s->nfds);
	int r = buf_add_str(&env->names, "LISTEN_FDNAMES=");
	for (size_t i = 0; r == 0 && i < s->nfds; i++)
		r = buf_printf(&env->names, "%s%s", i ? ":" : "", s->fds[i].name);
	if (r < 0)
		return err_set(e, ERR_TOO_LARGE, "the names of the fds to pass are too long");
	env->v[n++] = env->count;
	env->v[n] = env->names.data;
	return 0;
}

/* In the child: puts the fds where they belong. Each is first copied above all targets, so that no
 * target overwrites a source not yet copied. */
static int place_fds(const struct spawn *s, int *report)
{
	int above = FIRST_FD + (int)s->nfds, high[3 + FDS_MAX];
	int moved = fcntl(*report, F_DUPFD_CLOEXEC, above);
	if (moved < 0)
		return -errno;
	*report = moved;
	int source[3] = { s->stdin_fd, s->stdout_fd, s->stderr_fd };
	for (size_t i = 0; i < 3 + s->nfds; i++) {
		int fd = i < 3 ? source[i] : s->fds[i - 3].fd;
		if (fd < 0 && i < 2)
			fd = open("/dev/null", (i ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
		else if (fd < 0 && i == 2)
			fd = STDERR_FILENO;
		high[i] = fcntl(fd, F_DUPFD_CLOEXEC, above);
		if (high[i] < 0)
			return -errno;
	}
	for (size_t i = 0; i < 3 + s->nfds; i++)
		if (dup2(high[i], (int)i) < 0)
			return -errno;
	return syscall(SYS_close_range, above, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */) ? -errno : 0;
}

static void reset_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child(const struct spawn *s, const struct env *env, int report)
{
	int r = place_fds(s, &report);
	if (r == 0) {
		reset_signals();
		execve(
		    s->path, (char *const *)(uintptr_t)s->argv, (char *const *)(uintptr_t)env->v);
		r = -errno;
	}
	if (write(report, &r, sizeof(r)) != sizeof(r))
		_exit(126);
	_exit(127);
}

/* Nothing comes when execve went well: the pipe closes. */
static int read_report(int fd, int *failed)
{
	ssize_t n;
	do
		n = read(fd, failed, sizeof(*failed));
	while (n < 0 && errno == EINTR);
	return n == 0 || n == sizeof(*failed) ? 0 : -EIO;
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

int spawn_start(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
	struct env env = { 0 };
	buf_init(&env.names, 4096);
	int p[2], r = env_make(&env, s, e);
	if (r < 0)
		goto out;
	if (pipe2(p, O_CLOEXEC)) {
		r = err_sys(e, errno, "cannot make a pipe");
		goto out;
	}
	pid_t pid = s->namespaces
			? (pid_t)syscall(SYS_clone, (long)s->namespaces | SIGCHLD, 0, 0, 0, 0)
			: fork();
	if (pid == 0)
		child(s, &env, p[1]);
	int fork_errno = errno;
	close(p[1]);
	if (pid < 0) {
		close(p[0]);
		r = err_sys(e, fork_errno, "cannot fork for %s", s->path);
		goto out;
	}
	int failed = 0;
	r = read_report(p[0], &failed);
	close(p[0]);
	if (r || failed) {
		reap(pid);
		r = err_sys(e, failed ? -failed : EIO, "cannot start %s", s->path);
		goto out;
	}
	if (ret_pidfd) {
		int fd = open_pidfd(pid);
		if (fd < 0) {
			r = err_sys(e, errno, "cannot open a pidfd for %s", s->path);
			kill(pid, SIGKILL);
			reap(pid);
			goto out;
		}
		*ret_pidfd = fd;
	}
	*ret_pid = pid;
out:
	buf_done(&env.names);
	return r;
}

/* Collects both outputs until both are closed or the time is up. */
static int collect(int out, int err, uint64_t end, struct buf *text, struct buf *complaint)
{
	struct pollfd p[2] = { { .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN } };
	int r = 0;
	while (p[0].fd >= 0 || p[1].fd >= 0) {
		uint64_t now = clock_mono_ms();
		if (now >= end)
			return -ETIMEDOUT;
		int k = poll(p, 2, (int)MIN(end - now, (uint64_t)60000));
		if (k < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; k > 0 && i < 2; i++) {
			char chunk[8192];
			if (p[i].fd < 0 || !p[i].revents)
				continue;
			ssize_t n = read(p[i].fd, chunk, sizeof(chunk));
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				p[i].fd = -1;
			else if (i == 0)
				r = buf_add(text, chunk, (size_t)n);
			else if (buf_add(complaint, chunk,
				     MIN((size_t)n, complaint->max - complaint->len)) < 0)
				return -ENOMEM;
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int wait_until(pid_t pid, int pidfd, uint64_t end, int *ret_status)
{
	for (;;) {
		uint64_t now = clock_mono_ms();
		struct pollfd p = { .fd = pidfd, .events = POLLIN };
		int k = poll(&p, 1, now >= end ? 0 : (int)MIN(end - now, (uint64_t)60000));
		if (k > 0)
			return waitpid(pid, ret_status, 0) < 0 ? -errno : 0;
		if (k < 0 && errno != EINTR)
			return -errno;
		if (now >= end)
			return -ETIMEDOUT;
	}
}

static int say_end(const struct spawn *s, int status, const struct buf *complaint, struct err *e)
{
	const char *text = complaint->len ? complaint->data : "";
	int line = (int)MIN(strcspn(text, "\n"), (size_t)250);
	const char *sep = line ? ": " : "";
	if (WIFSIGNALED(status))
		return err_set(e, ERR_SYSTEM, "%s was killed by signal %d%s%.*s", s->path,
		    WTERMSIG(status), sep, line, text);
	return err_set(e, ERR_SYSTEM, "%s failed with code %d%s%.*s", s->path, WEXITSTATUS(status),
	    sep, line, text);
}

int spawn_run(const struct spawn *s, int timeout_ms, size_t max, char **ret_out, struct err *e)
{
	uint64_t end = clock_mono_ms() + (uint64_t)MAX(timeout_ms, 0);
	int out[2] = { -1, -1 }, err[2] = { -1, -1 };
	if (pipe2(out, O_CLOEXEC))
		return err_sys(e, errno, "cannot make a pipe");
	cleanup_close int out_read = out[0], out_write = out[1];
	if (pipe2(err, O_CLOEXEC))
		return err_sys(e, errno, "cannot make a pipe");
	cleanup_close int err_read = err[0], err_write = err[1];
	cleanup_buf struct buf text, complaint;
	buf_init(&text, max);
	buf_init(&complaint, STDERR_MAX);

	struct spawn mine = *s;
	mine.stdout_fd = out_write;
	mine.stderr_fd = err_write;
	pid_t pid = 0;
	cleanup_close int pidfd = -1;
	int r = spawn_start(&mine, &pid, &pidfd, e);
	if (r < 0)
		return r;
	close(steal_fd(&out_write));
	close(steal_fd(&err_write));
	int status = 0;
	r = collect(out_read, err_read, end, &text, &complaint);
	if (r == 0)
		r = wait_until(pid, pidfd, end, &status);
	if (r < 0) {
		kill(pid, SIGKILL);
		reap(pid);
	}
	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, "%s did not end within %d ms and was killed",
		    s->path, timeout_ms);
	if (r == -EMSGSIZE)
		return err_set(e, ERR_TOO_LARGE, "%s wrote more than %zu bytes", s->path, max);
	if (r < 0)
		return err_sys(e, -r, "cannot run %s", s->path);
	if (status)
		return say_end(s, status, &complaint, e);
	if (!ret_out)
		return 0;
	char *all = buf_steal(&text);
	if (!all)
		return err_set(e, ERR_NO_MEMORY, "no memory for the output of %s", s->path);
	*ret_out = all;
	return 0;
}
