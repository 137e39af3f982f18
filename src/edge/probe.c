#include "edge/probe.h"
#include "base/clock.h"
#include "base/str.h"
#include "proto/http1.h"
#include <netinet/in.h>
#include <sys/socket.h>

/* A check may wait for long, and a machine has up to RECORD_CHECKS_MAX: so many that no
 * organisation's silent machines keep the others' from being checked. */
enum { RUNNING_MAX = 4096, RETRY_MS = 50 };

static void run(struct probes *ps);

static void wake_at(struct probes *ps, uint64_t ms)
{
	(void)sd_event_source_set_time(ps->wake, ms * 1000);
	(void)sd_event_source_set_enabled(ps->wake, SD_EVENT_ONESHOT);
}

static void close_io(struct probe *p)
{
	if (p->fd < 0)
		return;
	p->io = sd_event_source_disable_unref(p->io);
	p->timer = sd_event_source_disable_unref(p->timer);
	close(p->fd);
	p->fd = -1;
	p->all->running--;
}

static void finish(struct probe *p, bool passed, const char *fmt, ...) printf_like(3, 4);
static void finish(struct probe *p, bool passed, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(p->output, sizeof(p->output), fmt, ap);
	va_end(ap);
	close_io(p);
	bool changed = check_result(&p->check, &p->spec.times, passed, clock_mono_ms());
	if (changed || !p->updated_at[0]) {
		clock_format_rfc3339(p->updated_at, clock_wall_us());
		p->all->changed(p->all->arg, p);
	}
	wake_at(p->all, clock_mono_ms() + 1);
}

static void read_answer(struct probe *p)
{
	static struct http1_response a;
	ssize_t n = recv(p->fd, p->answer + p->got, sizeof(p->answer) - p->got, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		finish(p, false, "port %u: %s", p->spec.port, strerror(errno));
		return;
	}
	p->got += (size_t)n;
	struct err e;
	ssize_t head = http1_parse_response(p->answer, p->got, &p->scanned, false, &a, &e);
	if (head > 0)
		finish(p, a.status >= 200 && a.status < 300, "HTTP %d %s", a.status,
		    http1_reason(a.status));
	else if (head < 0)
		finish(p, false, "port %u: not an HTTP answer: %s", p->spec.port, e.text);
	else if (n == 0)
		finish(p, false, "port %u: closed without an answer", p->spec.port);
	else if (p->got == sizeof(p->answer))
		finish(p, false, "port %u: the head of the answer is longer than %zu bytes",
		    p->spec.port, sizeof(p->answer));
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct probe *p = arg;
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error) {
		finish(p, false, "port %u: %s", p->spec.port, strerror(error));
		return 0;
	}
	if (!p->spec.http) {
		finish(p, true, "connected to port %u", p->spec.port);
		return 0;
	}
	if (p->sent < p->spec.request_len && (events & EPOLLOUT)) {
		ssize_t n = send(
		    fd, p->spec.request + p->sent, p->spec.request_len - p->sent, MSG_NOSIGNAL);
		if (n > 0)
			p->sent += (size_t)n;
		if (p->sent == p->spec.request_len)
			(void)sd_event_source_set_io_events(source, EPOLLIN);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_answer(p);
	return 0;
}

static int on_late(sd_event_source *source, uint64_t usec, void *arg)
{
	struct probe *p = arg;
	finish(p, false, "port %u: no %s within %llu ms", p->spec.port,
	    p->sent ? "answer" : "connection", (unsigned long long)p->spec.times.timeout_ms);
	return 0;
}

static void start(struct probe *p)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(p->spec.port) };
	memcpy(&a.sin_addr, p->ipv4, 4);
	p->sent = p->got = p->scanned = 0;
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0) {
		p->check.running = false;
		p->check.next_at = clock_mono_ms() + 1000; /* ours to blame, not the machine */
		return;
	}
	p->all->running++;
	uint64_t late = (clock_mono_ms() + p->spec.times.timeout_ms) * 1000;
	int r =
	    connect(p->fd, (struct sockaddr *)&a, sizeof(a)) && errno != EINPROGRESS ? -errno : 0;
	if (r < 0) {
		finish(p, false, "port %u: %s", p->spec.port, strerror(-r));
		return;
	}
	r = sd_event_add_io(p->all->loop, &p->io, p->fd, EPOLLOUT | EPOLLIN, on_io, p);
	if (r >= 0)
		r = sd_event_add_time(
		    p->all->loop, &p->timer, CLOCK_MONOTONIC, late, 1000, on_late, p);
	if (r < 0)
		finish(p, false, "cannot watch a socket: %s", strerror(-r));
}

static void run(struct probes *ps)
{
	uint64_t now = clock_mono_ms(), next = now + 1000, at;
	for (struct probe *p = ps->first; p; p = p->next) {
		if (ps->running >= RUNNING_MAX) {
			next = now + RETRY_MS;
			break;
		}
		if (check_due(&p->check, &p->spec.times, now, &at))
			start(p);
		else if (at < next)
			next = at;
	}
	wake_at(ps, next);
}

static int on_wake(sd_event_source *source, uint64_t usec, void *arg)
{
	run(arg);
	return 0;
}

void probes_init(
    struct probes *ps, sd_event *loop, void (*changed)(void *arg, struct probe *p), void *arg)
{
	*ps = (struct probes){ .loop = loop, .changed = changed, .arg = arg };
	(void)sd_event_add_time(loop, &ps->wake, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_wake, ps);
}

void probes_begin(struct probes *ps)
{
	for (struct probe *p = ps->first; p; p = p->next)
		p->seen = false;
}

static bool same_check(
    const struct probe *p, const struct record_machine *m, const struct record_check *c)
{
	return streq(p->machine, m->route.id) && p->generation == m->generation &&
	       streq(p->spec.name, c->name) && p->spec.port == c->port && p->spec.http == c->http &&
	       !memcmp(p->ipv4, m->route.ipv4, 4) && p->spec.request_len == c->request_len &&
	       !memcmp(p->spec.request, c->request, c->request_len);
}

struct probe *probes_want(struct probes *ps, const struct record_machine *m,
    const struct record_check *c, enum check_status known)
{
	for (struct probe *p = ps->first; p; p = p->next)
		if (same_check(p, m, c)) {
			p->spec.times = c->times;
			p->spec.service = c->service;
			p->seen = true;
			return p;
		}
	struct probe *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->all = ps;
	p->fd = -1;
	p->seen = true;
	p->spec = *c;
	p->generation = m->generation;
	memcpy(p->machine, m->route.id, sizeof(p->machine));
	memcpy(p->ipv4, m->route.ipv4, 4);
	snprintf(p->output, sizeof(p->output), "%s",
	    known == CHECK_WARNING ? "not checked yet" : "as it was known before");
	check_begin(&p->check, known, clock_mono_ms());
	clock_format_rfc3339(p->updated_at, clock_wall_us());
	p->next = ps->first;
	ps->first = p;
	return p;
}

void probes_end(struct probes *ps)
{
	for (struct probe **at = &ps->first; *at;) {
		struct probe *p = *at;
		if (p->seen) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		close_io(p);
		free(p);
	}
	wake_at(ps, clock_mono_ms() + 1);
}
