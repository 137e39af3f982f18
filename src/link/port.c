#include "link/port.h"
#include "base/clock.h"
#include "base/str.h"
#include <fcntl.h>
#include <sodium.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
	SLICE = 64 * 1024, /* read for each turn of the loop */
	OUT_MAX = 256 * 1024,
	ACK_MS = 5000,
	BACKOFF_MIN_MS = 20,
	BACKOFF_MAX_MS = 500,
	FLOOD_MS = 2000,
	GONE_AFTER = 5, /* refusals in a row */
};

static int on_timer(sd_event_source *s, uint64_t usec, void *arg);

static void schedule(struct port *p, unsigned ms)
{
	(void)sd_event_source_set_time_relative(p->timer, (uint64_t)ms * 1000);
	(void)sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

static void disconnect(struct port *p)
{
	bool was = p->synced;
	p->io = sd_event_source_disable_unref(p->io);
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->synced = p->paused = false;
	buf_reset(&p->out);
	if (was)
		p->ops->down(p->arg);
}

void port_restart(struct port *p, unsigned delay_ms)
{
	disconnect(p);
	schedule(p, MAX(delay_ms, 1));
}

static void failed(struct port *p, enum port_fault f, const char *text)
{
	p->ops->fault(p->arg, f, text);
	port_restart(p, FLOOD_MS);
}

static void set_events(struct port *p)
{
	if (p->io)
		(void)sd_event_source_set_io_events(
		    p->io, (p->paused ? 0 : EPOLLIN) | (p->out.len ? EPOLLOUT : 0));
}

static void flush(struct port *p)
{
	while (p->out.len) {
		ssize_t n = send(p->fd, p->out.data, MIN(p->out.len, 32768), MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* full, or broken: reading tells which */
		buf_consume(&p->out, (size_t)n);
	}
	set_events(p);
}

/* Bytes up to the ACK are of before; at most GUEST_PREACK_MAX. Returns how many of them there were,
 * or -1 when the port began anew. */
static ssize_t search(struct port *p, const uint8_t *buf, size_t n)
{
	size_t used = guest_ack_search_feed(&p->search, buf, n);
	if (p->search.found) {
		p->synced = true;
		p->backoff_ms = BACKOFF_MIN_MS;
		(void)sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
		p->ops->up(p->arg);
		return p->fd < 0 ? -1 : (ssize_t)used;
	}
	if (p->search.dropped > GUEST_PREACK_MAX) {
		failed(
		    p, PORT_FLOOD, "sent more than 8 MiB instead of an answer to the host's SYNC");
		return -1;
	}
	return (ssize_t)used;
}

static void take(struct port *p, const uint8_t *buf, size_t n)
{
	if (!p->synced) {
		ssize_t used = search(p, buf, n);
		if (used < 0)
			return;
		buf += used;
		n -= (size_t)used;
	}
	if (n && p->synced && p->ops->input(p->arg, buf, n) < 0 && p->fd >= 0)
		failed(p, PORT_PROTOCOL, "broke the protocol of its port");
}

static int on_io(sd_event_source *s, int fd, uint32_t events, void *arg)
{
	struct port *p = arg;
	static uint8_t buf[16384];
	if (events & EPOLLOUT) {
		flush(p);
		if (!p->out.len && p->synced)
			p->ops->writable(p->arg);
	}
	for (size_t got = 0; got < SLICE && p->fd >= 0 && !p->paused;) {
		ssize_t n = recv(p->fd, buf, sizeof buf, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			port_restart(p, BACKOFF_MIN_MS);
			return 0;
		}
		got += (size_t)n;
		take(p, buf, (size_t)n);
	}
	/* A hang-up cannot be masked; while paused it would spin. What is unread then is lost, and
	 * comes again. */
	if (p->fd >= 0 && p->paused && events & (EPOLLHUP | EPOLLERR))
		port_restart(p, BACKOFF_MIN_MS);
	return 0;
}

static bool try_connect(struct port *p)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || !str_copy(sa.sun_path, sizeof sa.sun_path, p->path))
		return false;
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
		bool absent = errno == ECONNREFUSED || errno == ENOENT;
		p->refused = absent ? p->refused + 1 : 0;
		if (p->seen && p->refused >= GONE_AFTER) {
			p->seen = false;
			p->ops->gone(p->arg);
		}
		return false;
	}
	p->refused = 0;
	p->seen = true;
	if (sd_event_add_io(p->loop, &p->io, fd, EPOLLIN, on_io, p) < 0)
		return false;
	p->fd = steal_fd(&fd);
	return true;
}

static void begin(struct port *p)
{
	uint8_t nonce[GUEST_NONCE_LEN];
	struct guest_sync sync;
	randombytes_buf(nonce, sizeof nonce);
	guest_sync_make(&sync, p->token, nonce);
	guest_ack_search_init(&p->search, p->token, nonce);
	buf_reset(&p->out);
	/* In one send: it must arrive as one read of the guest. A new socket always has room for
	 * it. */
	if (send(p->fd, &sync, sizeof sync, MSG_NOSIGNAL) != sizeof sync)
		port_restart(p, BACKOFF_MAX_MS);
	else
		schedule(p, ACK_MS);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	struct port *p = arg;
	if (p->fd >= 0) { /* no ACK in time: the guest is not up yet, or hangs */
		port_restart(p, BACKOFF_MIN_MS);
		return 0;
	}
	if (try_connect(p)) {
		begin(p);
	} else {
		schedule(p, p->backoff_ms);
		p->backoff_ms = MIN(p->backoff_ms * 3 / 2, BACKOFF_MAX_MS);
	}
	return 0;
}

void port_hurry(struct port *p)
{
	p->backoff_ms = BACKOFF_MIN_MS;
	if (p->fd < 0)
		schedule(p, 1);
}

void port_pause(struct port *p, bool pause)
{
	p->paused = pause && p->fd >= 0;
	set_events(p);
}

size_t port_pending(const struct port *p)
{
	return p->out.len;
}

int port_write(struct port *p, const void *data, size_t n)
{
	if (!p->synced)
		return -ENOTCONN;
	if (buf_add(&p->out, data, n) < 0)
		return -EAGAIN;
	flush(p);
	return 0;
}

int port_start(struct port *p, struct err *e)
{
	p->fd = -1;
	p->backoff_ms = BACKOFF_MIN_MS;
	buf_init(&p->out, OUT_MAX);
	int r = sd_event_add_time_relative(
	    p->loop, &p->timer, CLOCK_MONOTONIC, 1000, 1000, on_timer, p);
	return r < 0 ? err_sys(e, -r, "no timer") : 0;
}

void port_stop(struct port *p)
{
	disconnect(p);
	p->timer = sd_event_source_disable_unref(p->timer);
	buf_done(&p->out);
}
