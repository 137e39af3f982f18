/* The supervisor: holds the listeners, the route table and the ticket keys, starts workers and the
 * watcher, and starts them again when they die. It reads nothing that comes from outside this host.
 */
#include "edge/supervisor.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/str.h"
#include "edge/status.h"
#include "proto/route_table.h"
#include <fcntl.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { BACKOFF_MIN_MS = 20, BACKOFF_MAX_MS = 5000, LIVED_MS = 10000, DRAIN_MS = 8000 };

static int start(struct child *k);

/* ---- what workers are given ---- */

static void send_to(struct child *k, const void *msg, size_t len, int fd)
{
	struct err e;
	if (k->control < 0)
		return;
	if (ipc_send(k->control, msg, len, (struct bytes){ 0 }, &fd, fd >= 0 ? 1 : 0, &e) < 0) {
		/* it does not read: what it has would be stale, so it is replaced */
		log_err(&e, "%s does not listen to the supervisor", k->name);
		if (k->pid > 0)
			kill(k->pid, SIGKILL);
	}
}

static void send_table(struct child *k)
{
	struct ipc_head m = { EDGE_TABLE, EDGE_VERSION, 0 };
	if (k->s->table_fd >= 0)
		send_to(k, &m, sizeof(m), k->s->table_fd);
}

static void new_ticket_key(struct supervisor *s)
{
	s->tickets.head = (struct ipc_head){ EDGE_TICKETS, EDGE_VERSION, 0 };
	s->tickets.key[1] = s->tickets.key[0];
	randombytes_buf(&s->tickets.key[0], sizeof(s->tickets.key[0]));
	for (unsigned i = 0; i < s->nworkers; i++)
		send_to(&s->worker[i], &s->tickets, sizeof(s->tickets), -1);
}

static int on_rotate(sd_event_source *source, uint64_t usec, void *arg)
{
	struct supervisor *s = arg;
	new_ticket_key(s);
	(void)sd_event_source_set_time(source, usec + (uint64_t)EDGE_TICKET_HOURS * 3600 * 1000000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* ---- what the watcher gives ---- */

static void take_table(struct supervisor *s, int fd)
{
	struct route_table t;
	struct err e;
	if (route_table_map(fd, &t, &e) < 0) {
		log_err(&e, "the watcher's table was refused, the last one goes on");
		s->tables_refused++;
		return;
	}
	s->table = (struct table_facts){ t.head->serial, t.head->made_at, t.head->napps,
		t.head->nhosts, t.head->nbackends };
	route_table_unmap(&t);
	if (s->table_fd >= 0)
		close(s->table_fd);
	s->table_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	for (unsigned i = 0; i < s->nworkers; i++)
		send_table(&s->worker[i]);
}

static int on_watcher(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct supervisor *s = arg;
	struct ipc_head head;
	int fds[1];
	size_t len, nfds = 1;
	struct err e;
	int r = ipc_recv(fd, &head, sizeof(head), &len, fds, &nfds, &e);
	if (r < 0 || len == 0) {
		if (r != -EAGAIN)
			(void)sd_event_source_set_enabled(
			    source, SD_EVENT_OFF); /* its end is told by its pidfd */
		return 0;
	}
	if (len == sizeof(head) && head.type == EDGE_TABLE && nfds == 1)
		take_table(s, fds[0]);
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	return 0;
}

/* ---- children ---- */

static void forget(struct child *k)
{
	k->io = sd_event_source_disable_unref(k->io);
	k->exit = sd_event_source_disable_unref(k->exit);
	if (k->control >= 0)
		close(k->control);
	if (k->pidfd >= 0)
		close(k->pidfd);
	k->control = k->pidfd = -1;
	k->pid = 0;
}

static int on_restart(sd_event_source *source, uint64_t usec, void *arg)
{
	struct child *k = arg;
	if (!k->s->stopping)
		(void)start(k);
	return 0;
}

static void plan_restart(struct child *k)
{
	bool lived = clock_mono_ms() - k->started_ms >= LIVED_MS;
	k->backoff_ms = lived || !k->backoff_ms ? BACKOFF_MIN_MS
						: MIN(k->backoff_ms * 2, (unsigned)BACKOFF_MAX_MS);
	uint64_t at;
	(void)sd_event_now(k->s->loop, CLOCK_MONOTONIC, &at);
	at += (uint64_t)k->backoff_ms * 1000;
	if (!k->again &&
	    sd_event_add_time(k->s->loop, &k->again, CLOCK_MONOTONIC, at, 1000, on_restart, k) >= 0)
		return;
	(void)sd_event_source_set_time(k->again, at);
	(void)sd_event_source_set_enabled(k->again, SD_EVENT_ONESHOT);
}

static int on_exit_of(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct child *k = arg;
	struct supervisor *s = k->s;
	siginfo_t info = { 0 };
	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) || !info.si_pid)
		return 0;
	if (!s->stopping)
		log_warn("%s (pid %d) ended: %s %d", k->name, info.si_pid,
		    info.si_code == CLD_EXITED ? "exit code" : "signal", info.si_status);
	forget(k);
	if (k->row)
		*k->row = (struct edge_counters){ 0 }; /* a dead worker has no clients */
	k->restarts++;
	if (!s->stopping) {
		plan_restart(k);
		return 0;
	}
	for (unsigned i = 0; i < s->nworkers; i++)
		if (s->worker[i].pid)
			return 0;
	return s->watcher.pid ? 0 : sd_event_exit(s->loop, 0);
}

/* The passed fd may be a pipe, which can be read once; each watcher gets the password anew. */
static int password_file(const struct supervisor *s, int *ret_fd, struct err *e)
{
	cleanup_close int fd = memfd_create("store-password", MFD_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot make memory for the store's password");
	int r = io_write_all(fd, s->password, strlen(s->password));
	if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, r < 0 ? -r : errno, "cannot pass the store's password");
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int launch(struct child *k, int control, struct err *e)
{
	struct supervisor *s = k->s;
	const struct edge_args *a = s->args;
	bool worker = k != &s->watcher;
	cleanup_close int password = -1;
	int r = 0;
	char index[8], workers[8];
	snprintf(index, sizeof(index), "%u", worker ? (unsigned)(k - s->worker) : 0);
	snprintf(workers, sizeof(workers), "%u", s->nworkers);
	const char *argv[] = { "ward-edge", worker ? "--worker" : "--watcher", "--root", s->root,
		"--instance", a->places.instance, "--base-domain", a->base_domain, "--region",
		a->region, "--host", a->host, "--index", index, "--workers", workers,
		a->table && !worker ? "--table" : NULL, a->table, NULL };
	struct spawn_fd fds[EDGE_LISTENERS_MAX + 3];
	size_t n = 0;
	fds[n++] = (struct spawn_fd){ control, "control" };
	if (worker) {
		fds[n++] = (struct spawn_fd){ s->counters_fd, "counters" };
		for (size_t i = 0; i < s->nlisteners; i++)
			fds[n++] = (struct spawn_fd){ s->listeners[i].fd, s->listeners[i].name };
	} else if (s->password[0]) {
		r = password_file(s, &password, e);
		fds[n++] = (struct spawn_fd){ password, "store-password" };
	}
	if (r < 0)
		return r;
	struct spawn spec = { .path = s->self,
		.argv = argv,
		.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = STDERR_FILENO,
		.fds = fds,
		.nfds = n };
	return spawn_start(&spec, &k->pid, &k->pidfd, e);
}

static int start(struct child *k)
{
	struct supervisor *s = k->s;
	struct err e;
	int pair[2], r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return err_sys(NULL, errno, "cannot make a socket pair");
	r = launch(k, pair[1], &e);
	close(pair[1]);
	k->control = pair[0];
	k->started_ms = clock_mono_ms();
	if (r >= 0)
		r = sd_event_add_io(s->loop, &k->exit, k->pidfd, EPOLLIN, on_exit_of, k);
	if (r >= 0 && k == &s->watcher)
		r = sd_event_add_io(s->loop, &k->io, k->control, EPOLLIN, on_watcher, s);
	if (r < 0) {
		log_err(&e, "cannot start %s", k->name);
		forget(k);
		plan_restart(k);
		return r;
	}
	if (k != &s->watcher) {
		send_to(k, &s->tickets, sizeof(s->tickets), -1);
		send_table(k);
	}
	return 0;
}

/* Tunnels and slow bodies may go on for hours; whoever stops the edge does not wait for them. */
static int on_drained_enough(sd_event_source *source, uint64_t usec, void *arg)
{
	struct supervisor *s = arg;
	for (unsigned i = 0; i < s->nworkers; i++)
		if (s->worker[i].pid > 0)
			kill(s->worker[i].pid, SIGKILL);
	return sd_event_exit(s->loop, 0);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	struct supervisor *s = arg;
	if (s->stopping)
		return sd_event_exit(s->loop, 0);
	s->stopping = true;
	struct ipc_head m = { EDGE_DRAIN, EDGE_VERSION, 0 };
	unsigned alive = 0;
	for (unsigned i = 0; i < s->nworkers; i++) {
		send_to(&s->worker[i], &m, sizeof(m), -1);
		alive += s->worker[i].pid != 0;
	}
	if (s->watcher.pid)
		kill(s->watcher.pid, SIGTERM);
	uint64_t now;
	(void)sd_event_now(s->loop, CLOCK_MONOTONIC, &now);
	if (sd_event_add_time(s->loop, NULL, CLOCK_MONOTONIC, now + (uint64_t)DRAIN_MS * 1000, 1000,
		on_drained_enough, s) < 0)
		return sd_event_exit(s->loop, 0);
	return alive || s->watcher.pid ? 0 : sd_event_exit(s->loop, 0);
}

/* ---- setting up ---- */

static int collect_fds(struct supervisor *s, struct err *e)
{
	for (int i = 0; i < EDGE_LISTENERS_MAX; i++) {
		struct passed *p = &s->listeners[s->nlisteners];
		snprintf(p->name, sizeof(p->name), "%s-%d", i % 2 ? "http" : "https", i / 2);
		p->fd = daemon_passed_fd(p->name);
		if (p->fd < 0)
			continue;
		/* a blocking listener would stop a worker for good when another was faster */
		int flags = fcntl(p->fd, F_GETFL);
		if (fcntl(p->fd, F_SETFL, flags | O_NONBLOCK) < 0)
			return err_sys(e, errno, "the passed fd %s is not usable", p->name);
		s->nlisteners++;
	}
	if (!s->nlisteners)
		return err_set(
		    e, ERR_INVALID, "no listening socket was passed (https-0, http-0, ...)");
	if (daemon_passed_fd("store-password") >= 0) {
		int r = store_read_password("store-password", s->password, e);
		if (r < 0)
			return r;
	}
	s->counters_fd = memfd_create("ward-edge-counters", MFD_CLOEXEC);
	size_t size = sizeof(struct edge_counters) * EDGE_WORKERS_MAX;
	if (s->counters_fd < 0 || ftruncate(s->counters_fd, (off_t)size))
		return err_sys(e, errno, "cannot make memory for the counters");
	s->counters = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->counters_fd, 0);
	return s->counters == MAP_FAILED ? err_sys(e, errno, "cannot map the counters") : 0;
}

static int raise_limits(struct err *e)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l))
		return err_sys(e, errno, "cannot tell how many files may be open");
	l.rlim_cur = l.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &l)
		   ? err_sys(e, errno, "cannot raise the limit of open files")
		   : 0;
}

static int set_up(struct supervisor *s, struct err *e)
{
	const struct edge_args *a = s->args;
	ssize_t n = readlink("/proc/self/exe", s->self, sizeof(s->self) - 1);
	if (n <= 0)
		return err_sys(e, errno, "cannot tell which program this is");
	/* children get the root folder as it was given: places keeps <root>/run/ward alone */
	size_t keep = strlen(a->places.run) - strlen("/run/") - strlen(a->places.instance);
	snprintf(s->root, sizeof(s->root), "%.*s", (int)keep, keep ? a->places.run : "/");
	if (!keep)
		snprintf(s->root, sizeof(s->root), "/");
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	s->nworkers =
	    a->workers ? a->workers : (unsigned)MIN(MAX(cores, 1L), (long)EDGE_WORKERS_MAX);
	s->table_fd = -1;
	s->watcher = (struct child){ .s = s, .name = "the watcher", .control = -1, .pidfd = -1 };
	for (unsigned i = 0; i < s->nworkers; i++)
		s->worker[i] =
		    (struct child){ .s = s, .name = "a worker", .control = -1, .pidfd = -1 };
	int r = collect_fds(s, e);
	for (unsigned i = 0; r >= 0 && i < s->nworkers; i++)
		s->worker[i].row = s->counters + i;
	if (r >= 0)
		r = raise_limits(e);
	if (r < 0)
		return r;
	sigset_t block;
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, NULL);
	r = sd_event_new(&s->loop);
	if (r >= 0)
		r = sd_event_add_signal(s->loop, NULL, SIGTERM, on_stop, s);
	if (r >= 0)
		r = sd_event_add_signal(s->loop, NULL, SIGINT, on_stop, s);
	uint64_t now;
	if (r >= 0)
		r = sd_event_now(s->loop, CLOCK_MONOTONIC, &now);
	if (r >= 0)
		r = sd_event_add_time(s->loop, NULL, CLOCK_MONOTONIC,
		    now + (uint64_t)EDGE_TICKET_HOURS * 3600 * 1000000, 0, on_rotate, s);
	if (r < 0)
		return err_sys(e, -r, "cannot set up the event loop");
	return status_start(s, e);
}

int edge_supervisor(const struct edge_args *a)
{
	static struct supervisor s;
	struct err e;
	s.args = a;
	int r = set_up(&s, &e);
	/* starts its children again, so it keeps what they need besides: their programs, and by
	 * inheritance (a filter can only be narrowed) their sockets and the watcher's files */
	if (r >= 0)
		r = confine(CONFINE_SPAWN | CONFINE_FILES_READ | CONFINE_FILES_WRITE |
				CONFINE_UNIX | CONFINE_INET,
		    &e);
	if (r < 0) {
		log_err(&e, "start");
		return 1;
	}
	new_ticket_key(&s);
	for (unsigned i = 0; i < s.nworkers; i++)
		(void)start(&s.worker[i]); /* when it fails it is tried again */
	(void)start(&s.watcher);
	r = sd_event_loop(s.loop);
	explicit_bzero(&s.tickets, sizeof(s.tickets));
	explicit_bzero(s.password, sizeof(s.password));
	return r < 0 ? 1 : 0;
}
