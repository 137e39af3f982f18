#include "guest/app.h"
#include "base/clock.h"
#include "base/str.h"
#include "guest/identity.h"
#include "guest/logs.h"
#include "guest/netconf.h"
#include "guest/power.h"
#include "guest/proc.h"
#include "guest/pty.h"
#include "guest/root.h"
#include "guest/say.h"
#include "guest/swap.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

enum {
	EXIT_SETUP = 125,
	EXIT_CANNOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
	DRAIN_MS = 500,
	BYE_MS = 10000,
	POLL_MS = 20
};

const char *const app_phase_names[] = { "waiting", "running", "exited" };

static enum app_phase phase;
static struct runconf conf;
static struct command command;
static struct user user;
static struct proc proc;
static struct app_exit record;
static struct log_source out = { .fd = -1 }, err = { .fd = -1 };
static struct timer kill_timer, end_timer;
static uint64_t started_at, ended_mono;
static bool stopping, bye;
static int cgroup_fd = -1, exec_cgroup_fd = -1;
static void (*changed)(void);

void app_on_change(void (*fn)(void))
{
	changed = fn;
}

enum app_phase app_phase(void)
{
	return phase;
}

uint64_t app_generation(void)
{
	return conf.generation;
}

uint64_t app_started_at(void)
{
	return started_at;
}

const struct app_exit *app_exit_record(void)
{
	return phase == APP_EXITED ? &record : NULL;
}

char *const *app_env(void)
{
	return command.env;
}

const struct user *app_user(void)
{
	return &user;
}

const char *app_dir(void)
{
	return conf.image_dir && *conf.image_dir ? conf.image_dir : "/";
}

int app_exec_cgroup(void)
{
	return exec_cgroup_fd;
}

static void set_phase(enum app_phase p)
{
	phase = p;
	if (changed)
		changed();
}

/* ---- the app's cgroup: what it is killed by and how an OOM is noticed ---- */
static void cgroup_make(void)
{
	static const char *const controllers[] = { "+memory", "+pids", "+cpu", "+io" };
	cleanup_close int fd = open("/sys/fs/cgroup/cgroup.subtree_control", O_WRONLY | O_CLOEXEC);
	for (size_t i = 0; fd >= 0 && i < countof(controllers); i++)
		(void)!write(fd, controllers[i], strlen(controllers[i]));
	(void)mkdir("/sys/fs/cgroup/app", 0755);
	(void)mkdir("/sys/fs/cgroup/exec", 0755);
	cgroup_fd = open("/sys/fs/cgroup/app", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	exec_cgroup_fd = open("/sys/fs/cgroup/exec", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup_fd < 0 || exec_cgroup_fd < 0)
		say("no cgroup for the app: %s", strerror(errno));
}

static void cgroup_kill(void)
{
	cleanup_close int fd = openat(cgroup_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) != 1)
		(void)(proc.pid && kill(-proc.pid, SIGKILL));
}

/* An OOM kill of any process of the app, by whatever limit. */
static bool cgroup_oom(void)
{
	char text[512];
	cleanup_close int fd = openat(cgroup_fd, "memory.events", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n <= 0)
		return false;
	text[n] = 0;
	const char *p = strstr(text, "oom_kill ");
	return p && p[strlen("oom_kill ")] != '0';
}

/* ---- the end ---- */
static void end_step(void *arg)
{
	uint64_t waited = clock_mono_ms() - ended_mono;
	/* A grandchild that left the cgroup may hold the pipes: not for ever. */
	if (waited >= DRAIN_MS) {
		log_source_stop(&out);
		log_source_stop(&err);
	}
	bool drained = out.fd < 0 && err.fd < 0;
	if ((drained && bye && logs_all_acked()) || waited >= BYE_MS)
		power_off();
	loop_timer(&end_timer, POLL_MS, end_step, NULL);
}

static void ended(int code, int signal)
{
	record = (struct app_exit){ .code = code,
		.signal = signal,
		.oom = cgroup_oom(),
		.requested_stop = stopping,
		.at_ms = clock_wall_ms() };
	loop_timer_off(&kill_timer);
	cgroup_kill();
	ended_mono = clock_mono_ms();
	if (record.oom)
		say("the app ran out of memory: a process of it was killed by the kernel");
	set_phase(APP_EXITED);
	end_step(NULL);
}

static void app_ended(void *arg, int code, int signal)
{
	if (signal)
		say("the app was ended by signal %d (%s)", signal, strsignal(signal));
	else
		say("the app ended with exit code %d", code);
	ended(code, signal);
}

void app_bye(void)
{
	bye =
	    phase == APP_EXITED; /* the timer is running; the answer to this call goes out first */
}

/* ---- the start ---- */
static int find_user(struct err *e)
{
	cleanup_free char *passwd = root_read("/etc/passwd", 1 << 20),
			  *group = root_read("/etc/group", 1 << 20);
	int r = user_find(conf.image_user, passwd, group, &user, e);
	if (r == 0 && !env_get(command.env, "HOME") && !env_set(&command.env, "HOME", user.home))
		return err_set(e, ERR_NO_MEMORY, "no memory for the environment");
	return r;
}

static int prepare(struct err *e)
{
	int r = root_make(conf.scratch, e);
	if (r < 0 || (r = netconf_apply(&conf, e)) < 0 || (r = identity_write(&conf, e)) < 0 ||
	    (r = command_plan(&conf, &command, e)) < 0)
		return r;
	if (conf.swap_mib && !conf.scratch)
		return err_set(e, ERR_INVALID, "swap needs a scratch disk");
	if (conf.swap_mib && (r = swap_start(conf.swap_mib, e)) < 0)
		return r;
	cgroup_make();
	return find_user(e);
}

static int start_with_pipes(struct proc_start *s, struct err *e)
{
	int o[2], r[2];
	cleanup_close int in = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (pipe2(o, O_CLOEXEC) < 0)
		return err_sys(e, errno, "no pipe");
	cleanup_close int oread = o[0], owrite = o[1];
	if (pipe2(r, O_CLOEXEC) < 0)
		return err_sys(e, errno, "no pipe");
	cleanup_close int rread = r[0], rwrite = r[1];
	s->in = in;
	s->out = owrite;
	s->err = rwrite;
	int k = proc_start(&proc, s, e);
	if (k < 0)
		return k;
	(void)fcntl(oread, F_SETFL, O_NONBLOCK);
	(void)fcntl(rread, F_SETFL, O_NONBLOCK);
	log_source_start(&out, steal_fd(&oread), GUEST_STDOUT);
	log_source_start(&err, steal_fd(&rread), GUEST_STDERR);
	return 0;
}

static int start_with_terminal(struct proc_start *s, struct err *e)
{
	int m, t;
	int r = pty_open(80, 24, &m, &t, e);
	if (r < 0)
		return r;
	cleanup_close int master = m, term = t;
	s->in = s->out = s->err = term;
	s->terminal = true;
	if ((r = proc_start(&proc, s, e)) < 0)
		return r;
	log_source_start(&out, steal_fd(&master), GUEST_STDOUT);
	return 0;
}

static void start(void)
{
	struct err e = { 0 };
	if (prepare(&e) < 0) {
		say("the app cannot be started: %s", e.text);
		ended(EXIT_SETUP, 0);
		return;
	}
	struct proc_start s = { .argv = command.argv,
		.env = command.env,
		.user = &user,
		.dir = app_dir(),
		.cgroup_fd = cgroup_fd };
	proc = (struct proc){ .ended = app_ended };
	int r = conf.tty ? start_with_terminal(&s, &e) : start_with_pipes(&s, &e);
	if (r < 0) {
		say("the app cannot be started: %s", e.text);
		ended(r == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN, 0);
		return;
	}
	started_at = clock_wall_ms();
	set_phase(APP_RUNNING);
}

int app_run(struct runconf *c, struct err *e)
{
	if (conf.doc) {
		uint64_t asked = c->generation;
		runconf_done(c);
		return asked == conf.generation
			   ? 0
			   : err_set(e, ERR_CONFLICT, "generation %llu was started already",
				 (unsigned long long)conf.generation);
	}
	conf = *c;
	*c = (struct runconf){ 0 };
	start();
	return 0;
}

/* ---- signals ---- */
static void too_late(void *arg)
{
	say("the app did not stop in time: killing it");
	cgroup_kill();
}

void app_stop(int signal, uint64_t timeout_ms)
{
	stopping = true;
	if (phase == APP_WAITING)
		ended(0, 0);
	if (phase != APP_RUNNING)
		return;
	(void)kill(proc.pid, signal ? signal : conf.stop_signal);
	loop_timer(&kill_timer, timeout_ms, too_late, NULL);
}

int app_signal(int signal, struct err *e)
{
	if (phase != APP_RUNNING || !proc.pid)
		return err_set(e, ERR_CONFLICT, "the app is not running");
	return kill(proc.pid, signal) < 0 ? err_sys(e, errno, "signal %d", signal) : 0;
}
