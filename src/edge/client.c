/* A client's connection: reads heads, hands each request to its exchange, and decides what comes
 * after it. */
#include "base/clock.h"
#include "edge/worker.h"
#include <arpa/inet.h>
#include <sys/socket.h>

enum { STEPS_A_ROUND = 24 }; /* then others have their turn */

/* For an answer to something that never became a request. */
static void no_exchange(struct client *c)
{
	c->x = (struct exchange){ .minor = 1 };
	request_id_make(c->w, c->x.id);
}

static void on_expired(struct timer *t)
{
	struct client *c = (struct client *)(void *)((char *)t - offsetof(struct client, timer));
	if (c->state == CLIENT_HEAD && block_len(c->in)) {
		struct err e;
		no_exchange(c);
		err_set(&e, ERR_TIMEOUT, "the request's head did not arrive in time");
		page_error(c, &e, true);
		client_run(c);
		return;
	}
	if (c->state == CLIENT_EXCHANGE && c->x.phase < EXCHANGE_BODY && !c->x.resp_done) {
		struct err e;
		err_set(&e, c->x.req_done ? ERR_APP_TIMEOUT : ERR_TIMEOUT,
		    "nothing moved for too long while waiting for %s",
		    c->x.req_done ? "the app's answer" : "the request's body");
		page_error(c, &e, true);
		client_run(c);
		return;
	}
	client_close(c);
}

static void on_pace(struct timer *t)
{
	exchange_pace((struct client *)(void *)((char *)t - offsetof(struct client, pace)));
}

static void on_client(struct watch *watch)
{
	client_run((struct client *)watch);
}

static void address_text(const struct sockaddr_storage *a, char ip[INET6_ADDRSTRLEN])
{
	if (a->ss_family == AF_INET6) {
		const struct in6_addr *six = &((const struct sockaddr_in6 *)a)->sin6_addr;
		if (IN6_IS_ADDR_V4MAPPED(six))
			inet_ntop(AF_INET, six->s6_addr + 12, ip, INET6_ADDRSTRLEN);
		else
			inet_ntop(AF_INET6, six, ip, INET6_ADDRSTRLEN);
	} else {
		inet_ntop(
		    AF_INET, &((const struct sockaddr_in *)a)->sin_addr, ip, INET6_ADDRSTRLEN);
	}
}

void client_new(
    struct worker *w, int fd, const struct listener *from, const struct sockaddr_storage *peer)
{
	struct client *c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	c->watch = (struct watch){ .fd = fd, .event = on_client };
	c->timer.expired = on_expired;
	c->pace.expired = on_pace;
	c->w = w;
	c->from = from;
	c->state = from->tls ? CLIENT_HANDSHAKE : CLIENT_HEAD;
	address_text(peer, c->ip);
	c->next = w->clients;
	if (c->next)
		c->next->prev = c;
	w->clients = c;
	w->nclients++;
	w->count->accepted++;
	timer_set(&w->timers, &c->timer, from->tls ? TIMER_HANDSHAKE : TIMER_HEAD, w->now_ms);
	struct err e;
	if (watch_add(w, &c->watch, &e) < 0 || (from->tls && tls_start(c, &e) < 0))
		client_close(c);
}

void client_close(struct client *c)
{
	if (c->dead)
		return;
	struct worker *w = c->w;
	c->dead = true;
	if (c->state == CLIENT_EXCHANGE)
		exchange_drop(c);
	timer_clear(&c->timer);
	timer_clear(&c->pace);
	tls_stop(c);
	block_put(&w->blocks, c->in);
	block_put(&w->blocks, c->out);
	c->in = c->out = NULL;
	if (c->prev)
		c->prev->next = c->next;
	else
		w->clients = c->next;
	if (c->next)
		c->next->prev = c->prev;
	w->nclients--;
	for (struct client **p = &w->ready; c->is_ready && *p; p = &(*p)->ready)
		if (*p == c) {
			*p = c->ready;
			break;
		}
	watch_bury(w, &c->watch);
	listeners_resume(w);
}

void client_continue(struct client *c)
{
	if (c->is_ready || c->dead)
		return;
	c->is_ready = true;
	c->ready = c->w->ready;
	c->w->ready = c;
}

static ssize_t plain_read(struct client *c, void *p, size_t n)
{
	ssize_t r = recv(c->watch.fd, p, n, 0);
	if (r < 0)
		return errno == EINTR || errno == EAGAIN ? -EAGAIN : -errno;
	/* a short read has emptied the socket: the next bytes will bring an event */
	if ((size_t)r < n && !c->watch.hangup)
		c->watch.readable = false;
	return r;
}

int client_fill(struct client *c)
{
	struct worker *w = c->w;
	if (c->eof)
		return -ENODATA;
	if (!c->watch.readable && !(c->ssl && SSL_has_pending(c->ssl)))
		return 0;
	if (!c->in && !(c->in = block_get(&w->blocks)))
		return -ENOMEM;
	if (block_room(c->in) < BLOCK_SIZE / 4)
		block_compact(c->in);
	size_t room = block_room(c->in);
	if (!room)
		return 0;
	ssize_t n = c->ssl ? tls_read(c, c->in->data + c->in->end, room)
			   : plain_read(c, c->in->data + c->in->end, room);
	if (n == -EAGAIN) {
		if (!c->ssl) /* for TLS the layer below has said what it waits for */
			c->watch.readable = false;
		return 0;
	}
	if (n <= 0) {
		c->eof = true;
		return n < 0 ? (int)n : -ENODATA;
	}
	c->in->end += (uint32_t)n;
	c->received += (uint64_t)n;
	w->count->bytes_in += (uint64_t)n;
	return 1;
}

int client_flush(struct client *c)
{
	int moved = 0;
	while (block_len(c->out) && c->watch.writable) {
		ssize_t n =
		    c->ssl ? tls_write(c, block_at(c->out), block_len(c->out))
			   : send(c->watch.fd, block_at(c->out), block_len(c->out), MSG_NOSIGNAL);
		if (n < 0 && !c->ssl)
			n = -errno;
		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			if (!c->ssl)
				c->watch.writable = false;
			break;
		}
		if (n <= 0)
			return n < 0 ? (int)n : -EPIPE;
		c->w->count->bytes_out += (uint64_t)n;
		block_consume(c->out, (size_t)n);
		moved = 1;
	}
	return moved;
}

/* An idle connection holds no blocks. */
static void release_empty(struct client *c)
{
	block_put_empty(&c->w->blocks, &c->in);
	block_put_empty(&c->w->blocks, &c->out);
}

void client_next(struct client *c, bool keep)
{
	if (keep && !c->w->draining) {
		c->state = CLIENT_HEAD;
		c->scanned = 0;
		timer_set(&c->w->timers, &c->timer, block_len(c->in) ? TIMER_HEAD : TIMER_IDLE,
		    c->w->now_ms);
		return;
	}
	c->state = CLIENT_LAST;
	timer_set(&c->w->timers, &c->timer, TIMER_HEAD, c->w->now_ms);
}

/* Each step returns 1 to go on, 0 to wait, negative when the connection is over. */
static int step_head(struct client *c)
{
	struct worker *w = c->w;
	int r = client_flush(c);
	if (r < 0)
		return r;
	if (block_len(c->out))
		return r; /* the last answer goes out first */
	bool first = !block_len(c->in);
	if (first || c->hungry) {
		r = client_fill(c);
		if (r < 0)
			return r;
		if (r == 0) {
			release_empty(c);
			return 0;
		}
		if (first)
			timer_set(&w->timers, &c->timer, TIMER_HEAD, w->now_ms);
	}
	struct err e;
	ssize_t n =
	    http1_parse_request(block_at(c->in), block_len(c->in), &c->scanned, &w->request, &e);
	c->hungry = n == 0;
	if (n == 0)
		return 1;
	c->scanned = 0;
	w->count->requests++;
	if (n < 0) {
		no_exchange(c);
		page_error(c, &e, true);
		return 1;
	}
	exchange_start(c, (size_t)n);
	return 1;
}

/* The last bytes, then the TLS end and FIN; then what the client still sends is read and dropped
 * for a moment: closing with unread bytes would send a reset that can overtake the answer (RFC 9112
 * section 9.6). */
static int step_last(struct client *c)
{
	int r = client_flush(c);
	if (r < 0)
		return r;
	if (block_len(c->out))
		return r;
	release_empty(c);
	if (c->ssl)
		SSL_shutdown(c->ssl);
	if (shutdown(c->watch.fd, SHUT_WR))
		return -errno;
	c->state = CLIENT_LINGER;
	timer_set(&c->w->timers, &c->timer, TIMER_LINGER, c->w->now_ms);
	return 1;
}

static int step_linger(struct client *c)
{
	char sink[4096];
	ssize_t n = recv(c->watch.fd, sink, sizeof(sink), 0);
	return n > 0 ? 1 : n < 0 && errno == EAGAIN ? 0 : -ENODATA;
}

static int step(struct client *c)
{
	int r;
	switch (c->state) {
	case CLIENT_HANDSHAKE:
		r = tls_handshake(c);
		if (r == 1) {
			c->state = CLIENT_HEAD;
			timer_set(&c->w->timers, &c->timer, TIMER_HEAD, c->w->now_ms);
		}
		return r;
	case CLIENT_HEAD: return step_head(c);
	case CLIENT_EXCHANGE: return exchange_pump(c) ? 1 : 0;
	case CLIENT_LAST: return step_last(c);
	default: return step_linger(c);
	}
}

void client_run(struct client *c)
{
	for (int i = 0; i < STEPS_A_ROUND && !c->dead; i++) {
		int r = step(c);
		if (r < 0)
			client_close(c);
		if (r <= 0)
			return;
	}
	client_continue(c);
}
