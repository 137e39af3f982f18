#include "base/str.h"
#include "http/conn.h"

/* ---- the header ---- */

static void rebase(struct bytes *b, const char *from, const char *to)
{
	if (b->base)
		b->base = to + ((const char *)b->base - from);
}

/* The request keeps its own copy of the header, so that `in` can move on. Behind each value stands
 * a byte that is not part of it (a blank or the CR), which becomes the NUL that ends the text. */
static int keep_head(struct http_request *r, const char *base, size_t n)
{
	if (buf_add(&r->head_bytes, base, n) < 0)
		return -ENOMEM;
	char *copy = r->head_bytes.data;
	struct http1_request *h = &r->head;
	for (size_t i = 0; i < h->h.count; i++) {
		struct http1_field *f = &h->h.field[i];
		rebase(&f->name, base, copy);
		rebase(&f->value, base, copy);
		copy[(const char *)f->value.base - copy + (ssize_t)f->value.len] = 0;
	}
	rebase(&h->h.upgrade, base, copy);
	rebase(&h->method, base, copy);
	rebase(&h->target, base, copy);
	rebase(&h->path, base, copy);
	rebase(&h->host, base, copy);
	memcpy(r->method, h->method.base, h->method.len);
	r->head_only = h->head;
	return 0;
}

static int understand(struct http_conn *c, struct http_request *r, struct err *e)
{
	const struct http_limits *limits = &c->server->limits;
	int ret = url_parse(&r->url, r->head.path, e);
	if (ret < 0)
		return ret;
	r->left = r->head.h.framing == HTTP1_LENGTH ? r->head.h.content_length : 0;
	r->body_done = r->head.h.framing == HTTP1_NO_BODY;
	r->stream_body = c->server->wants_stream &&
			 c->server->wants_stream(c->server->arg, r->method, r->url.path);
	if (!r->stream_body && r->left > limits->body_max)
		return err_set(
		    e, ERR_TOO_LARGE, "the body is larger than %zu bytes", limits->body_max);
	if (r->head.expect_continue && buf_add_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n") < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for a request");
	return 0;
}

static struct http_request *request_new(struct http_conn *c)
{
	struct http_request *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->conn = c;
	buf_init(&r->head_bytes, HTTP1_HEAD_MAX + 1);
	buf_init(&r->body, c->server->limits.body_max);
	return r;
}

enum request_progress request_take_head(struct http_conn *c)
{
	struct err e;
	if (c->in.len == 0)
		return REQUEST_MORE;
	struct http_request *r = request_new(c);
	if (!r) {
		(void)err_set(&e, ERR_NO_MEMORY, "no memory for a request");
		answer_refusal(c, false, &e);
		return REQUEST_BAD;
	}
	ssize_t n = http1_parse_request(c->in.data, c->in.len, &c->scanned, &r->head, &e);
	if (n == 0) {
		request_free(r);
		return REQUEST_MORE;
	}
	int bad = 0;
	if (n > 0 && keep_head(r, c->in.data, (size_t)n) < 0)
		bad = err_set(&e, ERR_NO_MEMORY, "no memory for a request");
	else if (n > 0)
		bad = understand(c, r, &e);
	if (n < 0 || bad < 0) {
		answer_refusal(c, r->head_only, &e);
		request_free(r);
		return REQUEST_BAD;
	}
	buf_consume(&c->in, (size_t)n);
	c->scanned = 0;
	c->request = r;
	return REQUEST_READY;
}

/* ---- the body ---- */

/* The next piece of the body at the start of `in`; *ret_used bytes are done with after it was
 * taken. The piece is empty when more must be read first, or at the end. */
static int next_piece(
    struct http_conn *c, struct http_request *r, struct bytes *ret, size_t *ret_used, struct err *e)
{
	*ret = (struct bytes){ NULL, 0 };
	*ret_used = 0;
	if (r->head.h.framing == HTTP1_CHUNKED) {
		int kind = http1_chunks_next(&r->chunks, c->in.data, c->in.len, ret_used, ret, e);
		if (kind < 0)
			return kind;
		r->body_done = kind == HTTP1_CHUNK_END;
		return 0;
	}
	size_t n = (size_t)MIN(r->left, (uint64_t)c->in.len);
	*ret = (struct bytes){ c->in.data, n };
	*ret_used = n;
	r->left -= n;
	r->body_done = r->left == 0;
	return 0;
}

static int take_piece(
    struct http_conn *c, struct http_request *r, struct bytes piece, struct err *e)
{
	if (piece.len == 0)
		return 0;
	if (r->stream_body) {
		r->on_body(r->user, piece.base, piece.len);
		return 0;
	}
	if (r->body.len + piece.len > r->body.max)
		return err_set(e, ERR_TOO_LARGE, "the body is larger than %zu bytes", r->body.max);
	if (buf_add(&r->body, piece.base, piece.len) < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for a request's body");
	return 0;
}

static enum request_progress refuse_body(struct http_conn *c, const struct err *e)
{
	struct http_request *r = c->request;
	c->request = NULL;
	if (r->streaming)
		c->broken = true; /* an answer is under way already */
	else
		answer_refusal(c, r->head_only, e);
	request_free(r);
	return REQUEST_BAD;
}

enum request_progress request_take_body(struct http_conn *c)
{
	struct http_request *r = c->request;
	while (!r->body_done && !r->paused) {
		struct err e;
		struct bytes piece;
		size_t used;
		int ret = next_piece(c, r, &piece, &used, &e);
		if (ret == 0)
			ret = take_piece(c, r, piece, &e);
		if (c->request != r)
			return REQUEST_MORE; /* the handler answered, or took the connection over */
		if (ret < 0)
			return refuse_body(c, &e);
		buf_consume(&c->in, used);
		if (!r->body_done && c->in.len == 0)
			return REQUEST_MORE;
		if (!r->body_done && used == 0)
			return REQUEST_MORE;
	}
	if (!r->body_done)
		return REQUEST_MORE;
	if (r->stream_body && !r->paused && !r->end_told) {
		r->end_told = true;
		r->on_body(r->user, NULL, 0);
		return REQUEST_MORE; /* r may be gone */
	}
	return REQUEST_READY;
}

void request_free(struct http_request *r)
{
	if (r->gone)
		r->gone(r->user);
	for (size_t i = 0; i < r->nadd; i++) {
		free(r->add[i].name);
		free(r->add[i].value);
	}
	url_done(&r->url);
	buf_done(&r->head_bytes);
	buf_done(&r->body);
	free(r);
}

/* ---- what handlers ask ---- */

const char *http_method(const struct http_request *r)
{
	return r->method;
}

const char *http_path(const struct http_request *r)
{
	return r->url.path;
}

const char *http_query(const struct http_request *r, const char *key)
{
	return url_param(&r->url, key, 0);
}

const char *http_query_nth(const struct http_request *r, const char *key, size_t n)
{
	return url_param(&r->url, key, n);
}

bool http_query_at(
    const struct http_request *r, size_t n, const char **ret_key, const char **ret_value)
{
	if (n >= r->url.nparams)
		return false;
	*ret_key = r->url.params[n].key;
	*ret_value = r->url.params[n].value;
	return true;
}

const char *http_header(const struct http_request *r, const char *name)
{
	const struct http1_field *f = http1_find_name(&r->head.h, name);
	return f ? f->value.base : NULL;
}

struct bytes http_body(const struct http_request *r)
{
	return buf_bytes(&r->body);
}

uid_t http_peer_uid(const struct http_request *r)
{
	return r->conn->uid;
}

enum daemon http_peer(const struct http_request *r)
{
	return r->conn->peer;
}

void http_set_user(struct http_request *r, void *user, void (*gone)(void *user))
{
	r->user = user;
	r->gone = gone;
}

void *http_user(const struct http_request *r)
{
	return r->user;
}

void http_on_body(struct http_request *r, void (*data)(void *user, const void *p, size_t n))
{
	r->on_body = data;
	conn_wake(r->conn);
}

void http_body_pause(struct http_request *r, bool pause)
{
	r->paused = pause;
	conn_wake(r->conn);
}
