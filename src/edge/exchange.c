/* One request and its response, from beginning to end: which machine, whether to try another, and
 * what comes after. transfer.c moves the bytes. */
#include "base/str.h"
#include "edge/worker.h"
#include <sys/socket.h>

enum { PACE_BYTES = 5000 };

/* Ends with an answer of the edge's own. What of the request's body may still come makes the
 * connection unusable. */
void exchange_give_up(struct client *c, const struct err *e)
{
	page_error(c, e, !c->x.req_done);
}

void exchange_progress(struct client *c)
{
	timer_set(&c->w->timers, &c->timer,
	    c->x.phase == EXCHANGE_TUNNEL ? TIMER_TUNNEL : TIMER_EXCHANGE, c->w->now_ms);
}

/* A body that trickles in holds a machine's connection: 500 bytes a second are asked for, unless it
 * is the machine that is slow. */
void exchange_pace(struct client *c)
{
	struct exchange *x = &c->x;
	if (c->state != CLIENT_EXCHANGE || x->req_done || x->phase >= EXCHANGE_BODY)
		return;
	bool waits_for_machine =
	    x->phase == EXCHANGE_CONNECT || block_len(x->req) || block_len(c->in);
	if (!waits_for_machine && c->received - c->paced < PACE_BYTES) {
		struct err e;
		err_set(&e, ERR_TIMEOUT, "the request's body comes at less than %d bytes in 10 s",
		    PACE_BYTES);
		page_error(c, &e, true);
		client_run(c);
		return;
	}
	c->paced = c->received;
	timer_set(&c->w->timers, &c->pace, TIMER_PACE, c->w->now_ms);
}

/* Lets go of everything; the client goes on to its next request or to its end. */
void exchange_finish(struct client *c, bool keep_client, bool keep_upstream)
{
	struct exchange *x = &c->x;
	struct worker *w = c->w;
	if (x->up) {
		struct upconn *up = x->up;
		x->up = NULL;
		up->client = NULL;
		up->u->active--;
		if (keep_upstream)
			upconn_keep(up);
		else
			upconn_close(up);
	}
	timer_clear(&c->pace);
	block_put(&w->blocks, x->req);
	x->req = NULL;
	table_unref(w, x->table);
	x->table = NULL;
	client_next(c, keep_client);
}

void exchange_drop(struct client *c)
{
	exchange_finish(c, false, false);
}

static bool was_tried(const struct exchange *x, const struct upstream *u)
{
	for (unsigned i = 0; i < x->tries; i++)
		if (x->tried[i] == u)
			return true;
	return false;
}

static void connect_error(const struct exchange *x, int error, struct err *e)
{
	if (!x->app)
		err_set(e, ERR_UNAVAILABLE, "the API does not answer: %s", strerror(error));
	else if (error == ECONNREFUSED)
		err_set(e, ERR_NOT_LISTENING, "the app %s does not listen on 0.0.0.0:%u",
		    x->app->name, x->pool->app_port);
	else
		err_set(e, ERR_APP_UNREACHABLE, "the app %s cannot be reached: %s", x->app->name,
		    strerror(error));
}

/* A connection to some machine, or the edge's own answer. */
static void connect_some(struct client *c, bool fresh, struct err *why)
{
	struct exchange *x = &c->x;
	struct worker *w = c->w;
	while (x->tries < EXCHANGE_TRIES) {
		struct err e;
		struct upstream *u = x->app ? table_choose(w, x, &e) : w->api;
		if (!u || was_tried(x, u)) {
			exchange_give_up(c, why->code ? why : &e);
			return;
		}
		x->tried[x->tries++] = u;
		int error = 0;
		x->up = upconn_open(w, u, c, fresh, &error);
		if (x->up) {
			u->active++;
			x->phase = x->up->connected ? EXCHANGE_HEAD : EXCHANGE_CONNECT;
			return;
		}
		u->avoid_until = w->now_ms + 1000;
		connect_error(x, error, why);
		fresh = false;
	}
	exchange_give_up(c, why);
}

bool exchange_may_retry(const struct exchange *x)
{
	if (x->tries >= EXCHANGE_TRIES)
		return false;
	return !x->sent_any ||
	       (x->idempotent && x->req_framing == HTTP1_NO_BODY && x->phase == EXCHANGE_HEAD);
}

/* The connection broke before the response began. `kept`: it was a pooled one, which the app may
 * close at any time. */
void exchange_retry(struct client *c, struct err *why, bool fresh)
{
	struct exchange *x = &c->x;
	struct upconn *up = x->up;
	x->up = NULL;
	up->client = NULL;
	up->u->active--;
	upconn_close(up);
	if (!exchange_may_retry(x)) {
		exchange_give_up(c, why);
		return;
	}
	c->w->count->retries++;
	x->req->start = 0; /* nothing of it was dropped yet */
	x->sent_any = false;
	connect_some(c, fresh, why);
}

void exchange_connected(struct client *c)
{
	c->x.phase = EXCHANGE_HEAD;
	exchange_progress(c);
	client_run(c);
}

void exchange_failed(struct client *c, int error)
{
	struct exchange *x = &c->x;
	struct err e;
	c->w->count->connect_errors++;
	x->up->u->avoid_until = c->w->now_ms + 1000;
	connect_error(x, error, &e);
	exchange_retry(c, &e, false);
	client_run(c);
}

/* Whatever is no machine's id becomes one that no machine has: it is not ignored. */
static void take_instance(
    const struct http1_request *q, enum http1_name id, char ret[MACHINE_ID_LEN + 1])
{
	const struct http1_field *f = http1_find(&q->h, id);
	if (!f)
		return;
	if (f->value.len == MACHINE_ID_LEN)
		memcpy(ret, f->value.base, MACHINE_ID_LEN);
	else
		ret[0] = '?';
}

/* Which app, or the edge's own answer. False: answered. */
static bool route(struct client *c, const struct http1_request *q)
{
	struct exchange *x = &c->x;
	struct worker *w = c->w;
	struct err e;
	if (!q->host.len) {
		err_set(&e, ERR_UNKNOWN_HOST, "the request names no host");
		exchange_give_up(c, &e);
		return false;
	}
	for (size_t i = 0; i < q->host.len; i++) {
		char ch = ((const char *)q->host.base)[i];
		x->host[i] = ch >= 'A' && ch <= 'Z' ? (char)(ch | 0x20) : ch;
	}
	x->host[q->host.len] = 0;
	/* the certificate, and what was decided by it, hold for one name only (RFC 9110
	 * section 7.4) */
	if (c->ssl && !streq(c->sni, x->host)) {
		err_set(&e, ERR_MISDIRECTED, "the connection was made for another host than %s",
		    x->host);
		exchange_give_up(c, &e);
		return false;
	}
	if (streq(x->host, w->api_host)) {
		if (!c->ssl)
			page_redirect(c, q->path); /* tokens never travel in the clear */
		return c->ssl;
	}
	x->app = w->table ? route_table_find(&w->table->t, x->host, q->host.len) : NULL;
	if (!x->app) {
		err_set(&e, ERR_UNKNOWN_HOST, "no app has the host name %s", x->host);
		exchange_give_up(c, &e);
		return false;
	}
	take_instance(q, HTTP1_FLY_FORCE_INSTANCE, x->force);
	take_instance(q, HTTP1_FLY_PREFER_INSTANCE, x->prefer);
	x->table = table_ref(w->table);
	enum route_side side = c->ssl ? ROUTE_TLS : ROUTE_PLAIN;
	x->pool = &x->app->pool[side];
	if (side == ROUTE_PLAIN &&
	    (x->pool->force_https || (!x->pool->present && x->app->pool[ROUTE_TLS].present))) {
		page_redirect(c, q->path);
		return false;
	}
	if (!x->app->pool[ROUTE_PLAIN].present && !x->app->pool[ROUTE_TLS].present) {
		err_set(&e, ERR_NO_MACHINE, "the app %s has no machine with an HTTP service",
		    x->app->name);
		exchange_give_up(c, &e);
		return false;
	}
	if (!x->pool->present) {
		err_set(
		    &e, ERR_UNKNOWN_HOST, "the app %s offers no HTTP service here", x->app->name);
		exchange_give_up(c, &e);
		return false;
	}
	return true;
}

void exchange_start(struct client *c, size_t head)
{
	struct worker *w = c->w;
	struct exchange *x = &c->x;
	const struct http1_request *q = &w->request;
	*x = (struct exchange){
		.req_framing = q->h.framing,
		.req_left = q->h.content_length,
		.req_done = q->h.framing == HTTP1_NO_BODY,
		.expect_continue = q->expect_continue,
		.head = q->head,
		.idempotent = q->idempotent,
		.keep_alive = q->h.keep_alive,
		.minor = q->h.minor,
	};
	request_id_make(w, x->id);
	c->state = CLIENT_EXCHANGE;
	exchange_progress(c);
	struct err e = { 0 };
	block_consume(c->in, head); /* its bytes stay where they are until the next read */
	if (!route(c, q))
		return;
	/* never "h2c": it would speak past this parser */
	x->upgrade = x->req_done && (http1_is(q->h.upgrade, "websocket") ||
					(!x->app && http1_is(q->h.upgrade, "ward-exec")));
	x->req = block_get(&w->blocks);
	if (!x->req || !forward_request(c, q, x->req)) {
		err_set(&e, x->req ? ERR_HEAD_TOO_LARGE : ERR_NO_MEMORY,
		    "the request's head cannot be passed on");
		exchange_give_up(c, &e);
		return;
	}
	if (!x->req_done) {
		c->paced = c->received;
		timer_set(&w->timers, &c->pace, TIMER_PACE, w->now_ms);
	}
	connect_some(c, false, &e);
}
