#include "http/conn.h"
#include "base/clock.h"
#include "base/log.h"
#include <sys/socket.h>

static void advance(struct http_conn *c);
static void set_deadline(struct http_conn *c);

/* ---- life ---- */

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *arg);
static int on_timer(sd_event_source *s, uint64_t usec, void *arg);

static int on_kick(sd_event_source *s, void *arg)
{
	advance(arg);
	return 0;
}

int conn_start(struct http_server *s, int fd, struct err *e)
{
	struct http_conn *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(e, ERR_NO_MEMORY, "no memory for a connection");
	c->server = s;
	c->fd = fd;
	buf_init(&c->in, HTTP_IN_MAX);
	buf_init(&c->out, HTTP_OUT_MAX);
	int r = ipc_peer(fd, &c->uid, &c->peer, e);
	if (r == 0)
		r = sd_event_add_io(s->loop, &c->io, fd, EPOLLIN, on_io, c);
	if (r == 0)
		r = sd_event_add_defer(s->loop, &c->kick, on_kick, c);
	if (r == 0)
		r = sd_event_add_time(
		    s->loop, &c->timer, CLOCK_MONOTONIC, UINT64_MAX, 10000, on_timer, c);
	if (r < 0 || (c->kick && sd_event_source_set_enabled(c->kick, SD_EVENT_ONESHOT) < 0)) {
		sd_event_source_disable_unref(c->io);
		sd_event_source_disable_unref(c->kick);
		sd_event_source_disable_unref(c->timer);
		free(c);
		return r < 0 ? err_sys(e, -r, "a connection cannot be watched") : -EIO;
	}
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	s->count++;
	set_deadline(c);
	return 0;
}

void conn_free(struct http_conn *c)
{
	struct http_server *s = c->server;
	if (c->request) {
		struct http_request *r = c->request;
		c->request = NULL;
		request_free(r);
	}
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	sd_event_source_disable_unref(c->io);
	sd_event_source_disable_unref(c->kick);
	sd_event_source_disable_unref(c->timer);
	if (!c->taken)
		close(c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
	if (s->count-- >= s->limits.connections && s->accept)
		sd_event_source_set_enabled(s->accept, SD_EVENT_ON);
}

void conn_wake(struct http_conn *c)
{
	sd_event_source_set_enabled(c->kick, SD_EVENT_ONESHOT);
}

/* ---- deadlines ---- */

static unsigned deadline_ms(const struct http_conn *c)
{
	const struct http_limits *l = &c->server->limits;
	switch (c->phase) {
	case CONN_HEAD: return c->in.len > 0 ? l->header_ms : l->idle_ms;
	case CONN_BODY:
	case CONN_FLUSH: return l->body_ms;
	case CONN_LINGER: return HTTP_LINGER_MS;
	case CONN_HANDLE:
		/* The handler bounds its own time; the client must take and give what it promised.
		 */
		if (c->out.len > 0 || (c->request->stream_body && !c->request->body_done &&
					  c->request->on_body && !c->request->paused))
			return l->body_ms;
		return 0;
	}
	return 0;
}

static void set_deadline(struct http_conn *c)
{
	unsigned ms = deadline_ms(c);
	if (!ms) {
		sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(c->timer, clock_mono_us() + (uint64_t)ms * 1000);
	sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *src, uint64_t usec, void *arg)
{
	struct http_conn *c = arg;
	struct err e;
	if ((c->phase == CONN_HEAD && c->in.len > 0) || c->phase == CONN_BODY) {
		struct http_request *r = c->request;
		c->request = NULL;
		(void)err_set(&e, ERR_TIMEOUT, "the request did not arrive whole in time");
		answer_refusal(c, r && r->head_only, &e);
		if (r)
			request_free(r);
		advance(c);
		return 0;
	}
	conn_free(c); /* idle, or a client that takes or sends nothing */
	return 0;
}

/* ---- bytes ---- */

static bool wants_input(const struct http_conn *c)
{
	if (c->eof || c->in.len >= HTTP_IN_MAX)
		return false;
	if (c->phase == CONN_HANDLE && c->request->stream_body && !c->request->body_done)
		return c->request->on_body && !c->request->paused;
	/* While a handler works nothing is read: the socket itself holds back a pipelining client.
	 */
	return c->phase != CONN_HANDLE && c->phase != CONN_FLUSH;
}

static void read_some(struct http_conn *c)
{
	size_t room = HTTP_IN_MAX - c->in.len;
	if (buf_reserve(&c->in, room) < 0) {
		c->broken = true;
		return;
	}
	ssize_t n = recv(c->fd, c->in.data + c->in.len, room, 0);
	if (n > 0) {
		c->in.len += (size_t)n;
		c->in.data[c->in.len] = 0;
	} else if (n == 0) {
		c->eof = true;
	} else if (errno != EAGAIN && errno != EINTR) {
		c->broken = true;
	}
}

static bool write_some(struct http_conn *c)
{
	bool moved = false;
	while (c->out.len > 0) {
		ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
		if (n <= 0) {
			if (n < 0 && errno != EAGAIN && errno != EINTR)
				c->broken = true;
			break;
		}
		buf_consume(&c->out, (size_t)n);
		moved = true;
	}
	return moved;
}

/* ---- the way of one request ---- */

static void call_handler(struct http_conn *c)
{
	c->phase = CONN_HANDLE;
	c->server->handler(c->server->arg, c->request);
}

/* One step; true when another may follow at once. */
static bool step(struct http_conn *c)
{
	switch (c->phase) {
	case CONN_HEAD:
		if (request_take_head(c) != REQUEST_READY)
			return c->phase != CONN_HEAD;
		if (c->request->stream_body)
			call_handler(c);
		else
			c->phase = CONN_BODY;
		return true;
	case CONN_BODY:
		if (request_take_body(c) == REQUEST_READY)
			call_handler(c);
		return c->phase != CONN_BODY;
	case CONN_HANDLE: {
		struct http_request *r = c->request;
		if (r->stream_body && r->on_body && !r->paused && !r->end_told && !c->broken)
			return request_take_body(c) == REQUEST_BAD;
		return false;
	}
	case CONN_FLUSH:
		if (c->out.len > 0)
			return false;
		if (!c->last) {
			c->phase = CONN_HEAD;
			return true;
		}
		shutdown(c->fd, SHUT_WR);
		c->phase = CONN_LINGER;
		buf_reset(&c->in);
		return false;
	case CONN_LINGER: buf_reset(&c->in); return false;
	}
	return false;
}

static void tell_ready(struct http_conn *c)
{
	struct http_request *r = c->request;
	if (c->phase == CONN_HANDLE && r && r->wants_ready && c->out.len < HTTP_STREAM_MAX / 2) {
		r->wants_ready = false;
		if (r->ready)
			r->ready(r->user);
	}
}

static bool is_over(const struct http_conn *c)
{
	if (c->broken || c->taken)
		return true;
	/* A client that shut its sending side may still wait for its answer, if it asked whole. */
	if (c->eof && c->phase == CONN_HANDLE)
		return c->request->stream_body && !c->request->body_done && c->in.len == 0;
	return c->eof && c->phase != CONN_FLUSH;
}

/* Each phase has its own clock. A header, or a body to be collected, must be whole by then however
 * many bytes trickle in; a stream must only keep moving. */
static bool new_deadline(const struct http_conn *c, enum conn_phase before, size_t in)
{
	if (before != c->phase)
		return true;
	if (c->phase == CONN_HEAD)
		return in == 0 && c->in.len > 0;
	return c->phase != CONN_BODY && c->phase != CONN_LINGER;
}

static void advance(struct http_conn *c)
{
	enum conn_phase before = c->phase;
	size_t in = c->seen;
	c->seen = c->in.len;
	do {
		write_some(c);
	} while (!c->broken && !c->taken && step(c));
	tell_ready(c);
	if (is_over(c)) {
		conn_free(c);
		return;
	}
	uint32_t events = 0;
	if (wants_input(c))
		events |= EPOLLIN;
	if (c->out.len > 0)
		events |= EPOLLOUT;
	sd_event_source_set_io_events(c->io, events);
	if (new_deadline(c, before, in))
		set_deadline(c);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct http_conn *c = arg;
	/* EPOLLHUP: both directions are shut, so nobody is there to be answered. What the client
	 * sent before is not worth doing either, except the body a handler is already taking. */
	if ((revents & (EPOLLHUP | EPOLLERR)) && !(revents & EPOLLIN && wants_input(c))) {
		conn_free(c);
		return 0;
	}
	if (revents & EPOLLIN && wants_input(c))
		read_some(c);
	advance(c);
	return 0;
}
