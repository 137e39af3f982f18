#include "supervisor/units.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "supervisor/launch.h"
#include "supervisor/record.h"
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void go_on(struct units *u);

static void note(const struct units *u, const struct unit_run *run)
{
	struct process p;
	struct err e;
	int r = process_look(run->pid, &p, &e);
	cleanup_json json_t *o = json_pack("{s:i,s:I,s:I}", "pid", (int)run->pid, "start",
	    (json_int_t)(r < 0 ? 0 : p.start_ticks), "since", (json_int_t)run->up_since_ms);
	if (r == 0)
		r = record_write(&u->settings->places, "units", rows[run->row].name, o, &e);
	if (r < 0)
		log_err(&e, "noting %s, which the next wardd will start anew", rows[run->row].name);
}

static void forget(struct unit_run *run)
{
	sd_event_source_disable_unref(run->source);
	run->source = NULL;
	if (run->pidfd >= 0)
		close(run->pidfd);
	run->pidfd = -1;
	run->pid = 0;
	record_remove(&run->all->settings->places, "units", rows[run->row].name);
}

static void ended(struct unit_run *run, int status, bool known)
{
	const char *name = rows[run->row].name;
	struct units *u = run->all;
	bool ok = known && WIFEXITED(status) && !WEXITSTATUS(status);
	enum unit_state was = u->plan.unit[run->row].state;
	if (was == UNIT_STOPPING || was == UNIT_KILLED)
		log_info("%s (pid %d) stopped", name, run->pid);
	else if (!known)
		log_warn("%s (pid %d, adopted) ended", name, run->pid);
	else if (WIFSIGNALED(status))
		log_warn("%s (pid %d) was killed by signal %d%s", name, run->pid, WTERMSIG(status),
		    WTERMSIG(status) == SIGSYS ? " (a system call it has no right to)" : "");
	else if (!ok || !rows[run->row].oneshot)
		log_warn("%s (pid %d) ended with code %d", name, run->pid, WEXITSTATUS(status));
	forget(run);
	supervise_ended(&u->plan, run->row, clock_mono_ms(), ok);
	go_on(u);
}

static int on_adopted_end(sd_event_source *s, int fd, uint32_t events, void *data)
{
	ended(data, 0, false);
	return 0;
}

bool units_reaped(struct units *u, pid_t pid, int status)
{
	for (int i = 0; i < ROW_MAX; i++)
		if (u->run[i].pid == pid && u->run[i].child) {
			ended(&u->run[i], status, true);
			return true;
		}
	return false;
}

static void start(struct units *u, struct unit_run *run)
{
	struct err e;
	int r = launch(u->settings, run->row, &run->fds, &run->pid, &e);
	if (r < 0) {
		log_err(&e, "starting %s", rows[run->row].name);
		run->pid = 0;
		supervise_ended(&u->plan, run->row, clock_mono_ms(), false);
		return;
	}
	run->child = true;
	run->pidfd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	run->up_since_ms = clock_boot_ms();
	note(u, run);
	log_info("started %s (pid %d)", rows[run->row].name, run->pid);
}

/* Without a pidfd (no fds were left) its number does: nobody else takes that while it is our child
 * and not reaped. */
static void tell(const struct unit_run *run, int sig)
{
	if (run->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, run->pidfd, sig, NULL, 0);
	else if (run->child && run->pid > 0)
		kill(run->pid, sig);
}

static void act(struct units *u, struct supervise_action a)
{
	struct unit_run *run = &u->run[a.unit];
	switch (a.what) {
	case SUPERVISE_START: start(u, run); return;
	case SUPERVISE_TERM:
		log_info("stopping %s (pid %d)", rows[run->row].name, run->pid);
		tell(run, SIGTERM);
		return;
	case SUPERVISE_KILL:
		log_warn("%s (pid %d) does not stop: killed", rows[run->row].name, run->pid);
		tell(run, SIGKILL);
		return;
	}
}

static int on_time(sd_event_source *s, uint64_t at, void *data)
{
	go_on(data);
	return 0;
}

static void go_on(struct units *u)
{
	struct supervise_action a[SUPERVISE_UNITS_MAX];
	uint64_t wake;
	unsigned n;
	/* starting one may make another ready, and a start that fails asks for a later try */
	while ((n = supervise_next(&u->plan, clock_mono_ms(), a, &wake)) > 0)
		for (unsigned i = 0; i < n; i++)
			act(u, a[i]);
	if (wake != UINT64_MAX) {
		sd_event_source_set_time(u->timer, wake * 1000);
		sd_event_source_set_enabled(u->timer, SD_EVENT_ONESHOT);
	}
	if (supervise_stopped(&u->plan) && u->stopped) {
		void (*stopped)(void *) = u->stopped;
		u->stopped = NULL;
		stopped(u->arg);
	}
}

/* A daemon that an earlier wardd started and that still runs: the same process, the same program.
 */
static bool adopt(struct units *u, struct unit_run *run)
{
	struct err e;
	cleanup_json json_t *o = NULL;
	int64_t pid = 0, ticks = 0, since = 0;
	char program[256];
	const char *name = rows[run->row].name;
	launch_program(program, sizeof(program), u->settings, run->row);
	if (record_read(&u->settings->places, "units", name, &o, &e) < 0 ||
	    rows[run->row].oneshot || json_need_int(o, "", "pid", 1, INT32_MAX, &pid, &e) < 0 ||
	    json_need_int(o, "", "start", 1, INT64_MAX, &ticks, &e) < 0 ||
	    json_need_int(o, "", "since", 0, INT64_MAX, &since, &e) < 0)
		return false;
	cleanup_close int fd = process_open(&(struct process){ (pid_t)pid, (uint64_t)ticks }, &e);
	if (fd < 0 || !process_runs((pid_t)pid, program))
		return false;
	if (sd_event_add_io(u->loop, &run->source, fd, EPOLLIN, on_adopted_end, run) < 0)
		return false;
	run->pidfd = steal_fd(&fd);
	run->pid = (pid_t)pid;
	run->child = false;
	run->up_since_ms = (uint64_t)since;
	uint64_t age = clock_boot_ms() - MIN(clock_boot_ms(), (uint64_t)since),
		 now = clock_mono_ms();
	supervise_adopted(&u->plan, run->row, now - MIN(now, age));
	log_info("adopted %s (pid %d)", name, run->pid);
	return true;
}

static int prepare(struct units *u, struct unit_run *run, struct err *e)
{
	const struct settings *s = u->settings;
	const struct row_def *row = &rows[run->row];
	struct unit *unit = &u->plan.unit[run->row];
	char program[256], cgroup[64];
	*run = (struct unit_run){ .all = u, .row = run->row, .pidfd = -1 };
	*unit = (struct unit){
		.wanted = settings_wants(s, row->name), .oneshot = row->oneshot, .after = row->after
	};
	if (!unit->wanted)
		return 0;
	launch_program(program, sizeof(program), s, run->row);
	if (row->optional && access(program, X_OK)) {
		log_warn("%s is not installed: left out", program);
		unit->wanted = false;
		return 0;
	}
	if (access(program, X_OK)) {
		int r = err_sys(e, errno, "the program of %s is missing: %s", row->name, program);
		err_next(
		    e, "install it (scripts/deps, make), or leave %s out with --only", row->name);
		return r;
	}
	bool running = adopt(u, run);
	launch_cgroup(cgroup, sizeof(cgroup), s, run->row);
	int r = 0;
	if (!running && cgroup_exists(&s->cgroups, cgroup)) /* leftovers hold ports and files */
		r = cgroup_kill(&s->cgroups, cgroup, 5000, e);
	return r < 0 ? r : sockets_open(s, run->row, running ? run->pid : 0, &run->fds, e);
}

int units_start(struct units *u, const struct settings *s, sd_event *loop, struct err *e)
{
	*u = (struct units){ .settings = s, .loop = loop, .plan.n = ROW_MAX };
	int r = sd_event_add_time(loop, &u->timer, CLOCK_MONOTONIC, 0, 1000, on_time, u);
	if (r < 0)
		return err_sys(e, -r, "cannot make a timer");
	for (enum row row = 0; row < ROW_MAX; row++) {
		u->run[row].row = row;
		r = prepare(u, &u->run[row], e);
		if (r < 0)
			return r;
	}
	return 0;
}

void units_stop(struct units *u, void (*stopped)(void *arg), void *arg)
{
	u->stopped = stopped;
	u->arg = arg;
	supervise_stop(&u->plan);
	go_on(u);
}

void units_status(const struct units *u, struct wardd_status *ret)
{
	ret->count = 0;
	for (enum row row = 0; row < ROW_MAX; row++) {
		const struct unit_run *run = &u->run[row];
		if (!u->plan.unit[row].wanted || rows[row].oneshot)
			continue;
		struct wardd_daemon_status *d = &ret->daemon[ret->count++];
		*d = (struct wardd_daemon_status){ .pid = run->pid,
			.restarts = u->plan.unit[row].restarts,
			.up_since_boot_ms = run->pid ? run->up_since_ms : 0 };
		str_copy(d->name, sizeof(d->name), rows[row].name);
	}
}
