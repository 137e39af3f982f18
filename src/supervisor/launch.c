#include "supervisor/launch.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rights.h"
#include "base/spawn.h"
#include "base/str.h"
#include "proto/ipc_vault.h"
#include "supervisor/logs.h"
#include "supervisor/netns.h"
#include "supervisor/row_view.h"
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { PASSED_MAX = ROW_FDS_MAX + DAEMON_MAX + 2, FIRST_FD = 3, DAEMON_PIDS = 512 };
struct passed {
	size_t n;
	int fd[PASSED_MAX];
	char name[PASSED_MAX][40];
};

void launch_cgroup(char *dst, size_t size, const struct settings *s, enum row row)
{
	snprintf(dst, size, "%s/daemons/%s", s->places.instance, rows[row].name);
}

void launch_program(char *dst, size_t size, const struct settings *s, enum row row)
{
	if (rows[row].program)
		snprintf(dst, size, "%s", rows[row].program);
	else
		snprintf(dst, size, "%s/ward-%s", s->libexec, rows[row].name);
}

static void pass(struct passed *p, const char *name, int fd)
{
	if (p->n == PASSED_MAX)
		abort(); /* the array is sized for the largest row */
	str_copy(p->name[p->n], sizeof(p->name[0]), name);
	p->fd[p->n++] = fd;
}

/* A store password: what the vault derives for this user, as 64 hex digits, readable once or more.
 */
static int password_fd(const struct settings *s, const char *user, struct err *e)
{
	enum { KEY_LEN = 32 };
	char text[2 * KEY_LEN + 1];
	cleanup_buf struct buf key;
	buf_init(&key, KEY_LEN);
	int r = vault_call(s->places.run, VAULT_DERIVE, "store-password", user, (struct bytes){ 0 },
	    &key, NULL, e);
	if (r == 0 && key.len != KEY_LEN)
		r = err_set(e, ERR_PROTOCOL, "the vault's key has %zu bytes", key.len);
	if (r < 0)
		return err_prefix(e, r, "the store password of %s", user);
	hex_encode(text, key.data, KEY_LEN);
	int fd = memfd_create("store-password", MFD_CLOEXEC);
	r = fd < 0 ? -errno : io_write_all(fd, text, 2 * KEY_LEN);
	sodium_memzero(text, sizeof(text));
	sodium_memzero(key.data, key.len);
	if (r < 0 || lseek(fd, 0, SEEK_SET))
		return err_sys(e, r < 0 ? -r : errno, "cannot hand on a store password");
	return fd;
}

static int add_passwords(
    const struct settings *s, const struct row_def *row, struct passed *p, struct err *e)
{
	if (row->store_password) {
		int fd = password_fd(s, row->name, e);
		if (fd < 0)
			return fd;
		pass(p, "store-password", fd);
	}
	for (enum daemon d = 0; row->all_store_passwords && d < DAEMON_MAX; d++) {
		const char *user = d == DAEMON_WARDD ? "root" : daemon_name(d);
		char name[40];
		snprintf(name, sizeof(name), "store-password-%s", user);
		int fd = password_fd(s, user, e);
		if (fd < 0)
			return fd;
		pass(p, name, fd);
	}
	return 0;
}

static int enter_netns(const struct settings *s, const struct row_def *row, struct err *e)
{
	if (row->netns == NETNS_EMPTY)
		return unshare(CLONE_NEWNET)
			   ? err_sys(e, errno, "cannot make an empty network namespace")
			   : 0;
	if (row->netns == NETNS_HOST)
		return setns(s->host_netns, CLONE_NEWNET)
			   ? err_sys(e, errno, "cannot enter the host's network namespace")
			   : 0;
	char path[96];
	cleanup_close int fd =
	    netns_path(path, sizeof(path), s) < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		return err_sys(e, errno, "cannot enter the machines' network namespace");
	return 0;
}

/* Copies all above their targets first, then down; nothing else stays open in the new program. */
static int place_fds(struct passed *p, int log, struct err *e)
{
	int above = FIRST_FD + (int)p->n;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	log = fcntl(log, F_DUPFD_CLOEXEC, above);
	for (size_t i = 0; i < p->n; i++)
		if ((p->fd[i] = fcntl(p->fd[i], F_DUPFD_CLOEXEC, above)) < 0)
			return err_sys(e, errno, "cannot pass %s", p->name[i]);
	if (null < 0 || log < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		return err_sys(e, errno, "cannot set up standard input and output");

	for (size_t i = 0; i < p->n; i++)
		if (dup2(p->fd[i], FIRST_FD + (int)i) < 0)
			return err_sys(e, errno, "cannot pass %s", p->name[i]);
	if (syscall(SYS_close_range, above, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */))
		return err_sys(e, errno, "cannot close other fds");
	return 0;
}

static int set_limits(const struct row_def *row, struct err *e)
{
	rlim_t nofile = row->nofile ? row->nofile : 1024, lock = (rlim_t)row->memlock_kib << 10;
	const struct {
		int which;
		rlim_t most;
	} limits[] = { { RLIMIT_CORE, 0 }, { RLIMIT_NOFILE, nofile }, { RLIMIT_MEMLOCK, lock },
		{ RLIMIT_NICE, 0 }, { RLIMIT_RTPRIO, 0 }, { RLIMIT_MSGQUEUE, 0 } };
	for (size_t i = 0; i < countof(limits); i++) {
		/* a host that gives wardd less gives the daemon no more */
		struct rlimit now;
		if (getrlimit(limits[i].which, &now))
			return err_sys(e, errno, "cannot read resource limit %d", limits[i].which);
		now.rlim_cur = now.rlim_max = MIN(limits[i].most, now.rlim_max);
		if (setrlimit(limits[i].which, &now))
			return err_sys(e, errno, "cannot set resource limit %d", limits[i].which);
	}
	return 0;
}

static int become(const struct row_def *row, struct err *e)
{
	uid_t uid, other;
	gid_t gid, groups[DAEMON_MAX];
	size_t n = 0;
	int r = daemon_ids(row->user, &uid, &gid, e);
	for (enum daemon d = 0; r == 0 && d < DAEMON_MAX; d++)
		if (row->asks & (1U << d))
			r = daemon_ids(d, &other, &groups[n++], e);
	return r < 0 ? r : rights_drop(uid, gid, groups, n, row->caps, e);
}

static void reset_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int execute(const struct settings *s, enum row id, const struct passed *p, struct err *e)
{
	const struct row_def *row = &rows[id];
	static struct args a;
	static char names[PASSED_MAX * 40], count[32], program[256];
	char *env[6];
	size_t n = 0, at = 0;
	launch_program(program, sizeof(program), s, id);
	args_add(&a, "%s", program);
	if (!row->program) {
		args_add(&a, "--root");
		int root =
		    (int)(strlen(s->places.run) - strlen("/run/") - strlen(s->places.instance));
		args_add(&a, "%.*s", root ? root : 1, s->places.run);
		args_add(&a, "--instance");
		args_add(&a, "%s", s->places.instance);
	}
	if (row->args)
		row->args(s, &a);
	at = (size_t)snprintf(names, sizeof(names), "LISTEN_FDNAMES=");
	for (size_t i = 0; i < p->n; i++)
		at += (size_t)snprintf(
		    names + at, sizeof(names) - at, "%s%s", i ? ":" : "", p->name[i]);
	snprintf(count, sizeof(count), "LISTEN_FDS=%zu", p->n);
	env[n++] = count;
	env[n++] = names;
	static char path[] = "PATH=/usr/sbin:/usr/bin", debug[] = "WARD_DEBUG=1";
	env[n++] = path;
	if (getenv("WARD_DEBUG"))
		env[n++] = debug;
	env[n] = NULL;
	execve(program, (char *const *)(uintptr_t)a.v, env);
	return err_sys(e, errno, "cannot become %s", program);
}

/* A daemon that makes its sockets itself (etcd) does not start over those of a killed one. */
static int remove_stale_sockets(const struct settings *s, const struct row_def *row, struct err *e)
{
	char path[128];
	if (!row->run_folder || row->oneshot)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", s->places.run, row->run_folder);
	cleanup_close int fd = dir_open(AT_FDCWD, path, e);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return err_sys(e, errno, "cannot look into %s", path);
	steal_fd(&fd);
	int r = 0;
	for (struct dirent *de; r == 0 && (de = readdir(d));) {
		struct stat st;
		if (fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISSOCK(st.st_mode) && unlinkat(dirfd(d), de->d_name, 0))
			r = err_sys(
			    e, errno, "cannot remove the old socket %s/%s", path, de->d_name);
	}
	closedir(d);
	return r;
}

static int child(const struct settings *s, enum row id, const struct row_fds *fds, struct err *e)
{
	const struct row_def *row = &rows[id];
	static struct passed p;
	char cgroup[64];
	launch_cgroup(cgroup, sizeof(cgroup), s, id);
	setsid();
	reset_signals();
	for (size_t i = 0; i < fds->n; i++)
		pass(&p, fds->v[i].name, fds->v[i].fd);
	int log = logs_open(s->log_dir, row->name, e);
	int r = log < 0 ? log : 0;
	if (r == 0)
		r = cgroup_enter(&s->cgroups, cgroup, e);
	if (r == 0)
		r = rights_oom_reset(e);
	if (r == 0)
		r = remove_stale_sockets(s, row, e);
	if (r == 0)
		r = add_passwords(s, row, &p, e);
	if (r == 0)
		r = enter_netns(s, row, e);
	if (r == 0)
		r = row_view(s, id, e);
	umask(row->user == DAEMON_ETCD ? 007 : 027); /* etcd's socket admits etcd's group */
	if (r == 0)
		r = place_fds(&p, log, e);
	if (r == 0)
		r = set_limits(row, e);
	if (r == 0)
		r = become(row, e);
	return r < 0 ? r : execute(s, id, &p, e);
}

int launch(const struct settings *s, enum row row, const struct row_fds *fds, pid_t *ret_pid,
    struct err *e)
{
	char cgroup[64];
	launch_cgroup(cgroup, sizeof(cgroup), s, row);
	int r = cgroup_make(&s->cgroups, cgroup, &(struct cgroup_limits){ .pids = DAEMON_PIDS }, e);
	if (r < 0)
		return r;
	/* what an earlier run left behind would hold its locks and folders */
	r = cgroup_kill(&s->cgroups, cgroup, 2000, e);
	if (r < 0)
		return r;
	pid_t self = getpid(), pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "cannot fork");
	if (pid == 0) {
		/* Until it changes its user, which lifts this, it dies with wardd: nobody has noted
		 * it yet. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != self)
			_exit(125);
		child(s, row, fds, e);
		log_err(e, "starting %s", rows[row].name);
		_exit(125);
	}
	*ret_pid = pid;
	return 0;
}
