/* wardd: starts, watches and restarts Ward's daemons, and the machines' cages on the agent's word.
 * Root, and small: it reads the platform's file and fixed-size structs, nothing else.
 *
 *   wardd [--root DIR] [--instance NAME] [--libexec DIR] [--only NAME,NAME]
 *
 * SIGTERM stops everything in order and leaves nothing; when wardd dies otherwise, daemons and
 * machines go on and the next wardd adopts them. */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rights.h"
#include "supervisor/farewell.h"
#include "supervisor/filter.h"
#include "supervisor/folders.h"
#include "supervisor/launch.h"
#include "supervisor/logs.h"
#include "supervisor/netns.h"
#include "supervisor/serve.h"
#include "supervisor/swap.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>

enum { TICK_US = 1000000, FAREWELL_POLL_US = 50000, TIDY_TICKS = 2 };

static struct wardd {
	struct settings settings;
	struct units units;
	struct cages *cages;
	struct serve *serve;
	sd_event *loop;
	unsigned ticks;
	uint64_t farewell_end_ms;
} wardd;

static int lock(const struct settings *s, struct err *e)
{
	char path[96];
	snprintf(path, sizeof(path), "%s/wardd/lock", s->places.run);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, errno, "cannot open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		int r = err_set(
		    e, ERR_CONFLICT, "another wardd runs for instance %s", s->places.instance);
		err_next(e, "stop it first, or use another --instance");
		close(fd);
		return r;
	}
	return 0; /* held as long as this process lives; daemons do not inherit it */
}

static int on_child(sd_event_source *src, const struct signalfd_siginfo *si, void *data)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		if (!units_reaped(&wardd.units, pid, status))
			(void)cages_reaped(
			    wardd.cages, pid, status); /* or an orphan that came to the subreaper */
	return 0;
}

static int on_farewell(sd_event_source *src, uint64_t at, void *data)
{
	if (cages_running(wardd.cages) && clock_mono_ms() < wardd.farewell_end_ms) {
		sd_event_source_set_time_relative(src, FAREWELL_POLL_US);
		return sd_event_source_set_enabled(src, SD_EVENT_ONESHOT);
	}
	cages_stop_all(wardd.cages);
	return sd_event_exit(wardd.loop, 0);
}

/* The daemons are gone; now the machines, politely first. */
static void all_stopped(void *arg)
{
	unsigned n = cages_ask_all(wardd.cages);
	if (n)
		log_info("asked %u machines to stop", n);
	wardd.farewell_end_ms = clock_mono_ms() + (n ? FAREWELL_MS : 0);
	if (sd_event_add_time_relative(wardd.loop, NULL, CLOCK_MONOTONIC, 0, 0, on_farewell, NULL) <
	    0) {
		cages_stop_all(wardd.cages);
		sd_event_exit(wardd.loop, 0);
	}
}

static int on_stop(sd_event_source *src, const struct signalfd_siginfo *si, void *data)
{
	if (wardd.units.plan.stopping)
		return 0;
	log_info("stopping everything");
	sd_notify(0, "STOPPING=1");
	units_stop(&wardd.units, all_stopped, NULL);
	return 0;
}

static int on_tick(sd_event_source *src, uint64_t at, void *data)
{
	logs_rotate(wardd.settings.log_dir);
	if (++wardd.ticks % TIDY_TICKS == 0)
		cages_tidy(wardd.cages);
	sd_event_source_set_time_relative(src, TICK_US);
	sd_event_source_set_enabled(src, SD_EVENT_ONESHOT);
	return 0;
}

static int make_loop(struct err *e)
{
	static const struct {
		int signal;
		sd_event_signal_handler_t fn;
	} signals[] = { { SIGTERM, on_stop }, { SIGINT, on_stop }, { SIGCHLD, on_child } };
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < countof(signals); i++)
		sigaddset(&set, signals[i].signal);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	int r = sd_event_new(&wardd.loop);
	for (size_t i = 0; r >= 0 && i < countof(signals); i++)
		r = sd_event_add_signal(wardd.loop, NULL, signals[i].signal, signals[i].fn, NULL);
	if (r >= 0)
		r = sd_event_add_time_relative(
		    wardd.loop, NULL, CLOCK_MONOTONIC, TICK_US, 0, on_tick, NULL);
	return r < 0 ? err_sys(e, -r, "cannot make the event loop") : 0;
}

static int refuse_plain_swap(struct err *e)
{
	char plain[256];
	int r = swap_find_plain(plain, sizeof(plain), e);
	if (r < 0 || !plain[0])
		return r;
	r = err_set(e, ERR_WALL,
	    "%s is swap that is not encrypted: machines' memory could reach the disk", plain);
	err_next(e, "swapoff -a, or put swap on an encrypted device");
	return r;
}

/* What root is used for here and in what is started. Missing, so gone for good: modules, raw I/O,
 * reboot, the clock, the kernel's log, audit, and more. */
#define NEEDED                                                                                     \
	(1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_DAC_READ_SEARCH |              \
	    1ULL << CAP_FOWNER | 1ULL << CAP_FSETID | 1ULL << CAP_KILL | 1ULL << CAP_SETGID |      \
	    1ULL << CAP_SETUID | 1ULL << CAP_SETPCAP | 1ULL << CAP_NET_BIND_SERVICE |              \
	    1ULL << CAP_NET_ADMIN | 1ULL << CAP_NET_RAW | 1ULL << CAP_SYS_CHROOT |                 \
	    1ULL << CAP_SYS_PTRACE | 1ULL << CAP_SYS_ADMIN | 1ULL << CAP_SYS_RESOURCE |            \
	    1ULL << CAP_MKNOD | 1ULL << CAP_BPF)

static bool gone(int r, const struct err *e)
{
	if (r < 0)
		log_err(e, "stopping");
	return r >= 0;
}

static int network_down(const struct settings *s, struct err *e)
{
	return setns(s->host_netns, CLONE_NEWNET)
		   ? err_sys(e, errno, "cannot return to the host's network")
		   : netns_down(s, e);
}

/* Each machine costs up to four, each daemon a few. */
static int want_fds(struct err *e)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l))
		return err_sys(e, errno, "cannot read the limit of open files");
	l.rlim_cur = MIN(l.rlim_max, MAX(l.rlim_cur, (rlim_t)65536));
	return setrlimit(RLIMIT_NOFILE, &l)
		   ? err_sys(e, errno, "cannot raise the limit of open files")
		   : 0;
}

static int up(int argc, char **argv, struct err *e)
{
	struct settings *s = &wardd.settings;
	struct err undo;
	umask(022);
	if (geteuid() != 0)
		return err_set(e, ERR_FORBIDDEN,
		    "wardd makes users' processes, namespaces and cgroups: it must be root");
	int r = settings_init(s, argc, argv, e);
	if (r == 0)
		r = daemon_users_load(e);
	if (r == 0)
		r = rights_limit(NEEDED, e);
	if (r == 0)
		r = filter_set(e);
	if (r == 0)
		r = want_fds(e);
	if (r == 0)
		r = refuse_plain_swap(e);
	if (r == 0)
		r = folders_make(s, e);
	if (r == 0)
		r = lock(s, e);
	/* a namespace that is there is that of daemons to adopt: it stays, whatever fails */
	bool first = r == 0 && !netns_exists(s);
	if (r == 0)
		r = netns_up(s, e);
	if (r == 0)
		r = make_loop(e);
	/* processes of ours whose parent dies come to us, not to init */
	if (r == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
		r = err_sys(e, errno, "cannot become a subreaper");
	if (r == 0)
		r = serve_new(&wardd.serve, s, wardd.loop, &wardd.units, e);
	if (r == 0)
		r = cages_new(&wardd.cages, s, wardd.loop, serve_exited, wardd.serve, e);
	if (r == 0)
		r = units_start(&wardd.units, s, wardd.loop, e);
	/* every listener is made: the network is not needed any more (the daemons get it by fd) */
	if (r == 0 && unshare(CLONE_NEWNET))
		r = err_sys(e, errno, "cannot leave the network");
	if (r == 0)
		serve_set_cages(wardd.serve, wardd.cages);
	if (r < 0 && first)
		(void)gone(network_down(s, &undo), &undo);
	return r;
}

static int run_file_remove(const struct settings *s, const char *name, struct err *e)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", s->places.run, name);
	return dir_remove(AT_FDCWD, path, e);
}

/* All that was made at start and is not data. False: something is left. */
static bool down(void)
{
	/* last the lock: until then nobody else begins */
	static const char *const names[] = { "wardd.sock", "etcd.sock", "etcd", "names", "machines",
		"wardd" };
	const struct settings *s = &wardd.settings;
	struct err e;
	bool all = true;
	for (enum row row = 0; row < ROW_MAX; row++) {
		char cgroup[64];
		launch_cgroup(cgroup, sizeof(cgroup), s, row);
		if (cgroup_exists(&s->cgroups, cgroup))
			all &= gone(cgroup_kill(&s->cgroups, cgroup, 2000, &e), &e);
	}
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	all &= gone(cgroup_remove(&s->cgroups, s->places.instance, &e), &e);
	all &= gone(network_down(s, &e), &e);
	for (enum row row = 0; row < ROW_MAX; row++)
		for (size_t i = 0; i < ROW_SOCKETS && rows[row].sockets[i].name; i++) {
			char name[32];
			snprintf(name, sizeof(name), "%s.sock", rows[row].sockets[i].name);
			all &= gone(run_file_remove(s, name, &e), &e);
		}
	for (size_t i = 0; i < countof(names); i++)
		all &= gone(run_file_remove(s, names[i], &e), &e);
	return all;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	log_init("wardd");
	if (up(argc, argv, &e) < 0) {
		log_err(&e, "wardd cannot start");
		return 1;
	}
	sd_notify(0, "READY=1");
	log_info("instance %s: watching (pid %d)", wardd.settings.places.instance, getpid());
	int r = sd_event_loop(wardd.loop);
	bool all = down();
	log_info(all ? "stopped" : "stopped, but something is left");
	return r < 0 || !all;
}
