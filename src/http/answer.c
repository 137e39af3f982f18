#include "base/log.h"
#include "base/str.h"
#include "http/conn.h"
#include <sys/socket.h>

/* Answers are written into the connection's `out`; the connection sends them from its own events.
 */

enum { ANSWER_HEAD_MAX = 16 * 1024 };

static bool has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

struct answer_head {
	int status;
	const char *content_type;
	bool chunked;
	bool until_close; /* a stream to HTTP/1.0 */
	size_t length;
	bool close;
};

static int put_head(struct http_conn *c, const struct http_request *r, const struct answer_head *a)
{
	char text[ANSWER_HEAD_MAX];
	struct http1_out o = { .base = text, .cap = sizeof(text) };
	http1_put_status_line(&o, a->status, (struct bytes){ "", 0 });
	if (has_body(a->status)) {
		if (a->content_type)
			http1_put_field_text(&o, "Content-Type", a->content_type);
		if (a->chunked)
			http1_put_field_text(&o, "Transfer-Encoding", "chunked");
		else if (!a->until_close)
			http1_put_field_u64(&o, "Content-Length", a->length);
	}
	for (size_t i = 0; r && i < r->nadd; i++)
		http1_put_field_text(&o, r->add[i].name, r->add[i].value);
	if (a->close)
		http1_put_field_text(&o, "Connection", "close");
	http1_put_end(&o);
	if (o.overflow)
		return -EMSGSIZE;
	return buf_add(&c->out, o.base, o.len);
}

/* The request is over; what it wrote goes out, and then the next one's turn comes. */
static void finish(struct http_request *r, int r_write)
{
	struct http_conn *c = r->conn;
	if (r_write < 0)
		c->broken = true;
	c->request = NULL;
	c->phase = CONN_FLUSH;
	request_free(r);
	conn_wake(c);
}

static bool must_close(const struct http_request *r)
{
	return !r->head.h.keep_alive || !r->body_done;
}

void http_answer(
    struct http_request *r, int status, const char *content_type, const void *body, size_t len)
{
	struct http_conn *c = r->conn;
	struct answer_head a = { .status = status,
		.content_type = content_type,
		.length = len,
		.close = must_close(r) };
	c->last = c->last || a.close;
	int ret = put_head(c, r, &a);
	if (ret == 0 && len > 0 && !r->head_only && has_body(status))
		ret = buf_add(&c->out, body, len);
	finish(r, ret);
}

void http_answer_json(struct http_request *r, int status, const json_t *body)
{
	cleanup_free char *text = json_format(body);
	if (!text) {
		r->conn->last = true;
		finish(r, -ENOMEM);
		return;
	}
	http_answer(r, status, "application/json", text, strlen(text));
}

static json_t *error_body(const struct err *err)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s}}", "error", err->text, "status",
	    err_code_name(err->code), "details", "cause", err->text, "next", err_next_step(err));
}

void http_answer_err(struct http_request *r, const struct err *err)
{
	cleanup_json json_t *body = error_body(err);
	if (body)
		http_answer_json(r, err_code_status(err->code), body);
	else
		http_answer(r, err_code_status(err->code), NULL, NULL, 0);
}

void http_answer_empty(struct http_request *r, int status)
{
	http_answer(r, status, NULL, NULL, 0);
}

void http_add_header(struct http_request *r, const char *name, const char *value)
{
	if (r->nadd == HTTP_ANSWER_HEADERS_MAX)
		return;
	char *n = strdup(name), *v = strdup(value);
	if (!n || !v) {
		free(n);
		free(v);
		return;
	}
	r->add[r->nadd].name = n;
	r->add[r->nadd++].value = v;
}

void answer_refusal(struct http_conn *c, bool head_only, const struct err *e)
{
	cleanup_json json_t *body = error_body(e);
	cleanup_free char *text = body ? json_format(body) : NULL;
	struct answer_head a = { .status = err_code_status(e->code),
		.content_type = "application/json",
		.length = text ? strlen(text) : 0,
		.close = true };
	c->last = true;
	c->phase = CONN_FLUSH;
	if (put_head(c, NULL, &a) < 0 || (text && !head_only && buf_add_str(&c->out, text) < 0))
		c->broken = true;
}

/* ---- streams ---- */

int http_stream_begin(
    struct http_request *r, int status, const char *content_type, void (*ready)(void *user))
{
	struct http_conn *c = r->conn;
	struct answer_head a = { .status = status,
		.content_type = content_type,
		.chunked = r->head.h.minor == 1,
		.until_close = r->head.h.minor == 0,
		.close = must_close(r) };
	c->last = c->last || a.close;
	r->streaming = true;
	r->chunked = a.chunked;
	r->ready = ready;
	int ret = put_head(c, r, &a);
	if (ret < 0)
		c->broken = true;
	conn_wake(c);
	return ret;
}

int http_stream_write(struct http_request *r, const void *p, size_t n)
{
	struct http_conn *c = r->conn;
	if (c->broken)
		return -EPIPE;
	if (c->out.len > HTTP_STREAM_MAX) {
		r->wants_ready = true;
		return -EAGAIN;
	}
	if (n == 0 || r->head_only)
		return 0;
	char head[HTTP1_CHUNK_HEAD_MAX];
	size_t head_len = r->chunked ? http1_chunk_head(head, n) : 0;
	int ret = buf_reserve(&c->out, head_len + n + 2);
	if (ret == 0 && head_len > 0)
		ret = buf_add(&c->out, head, head_len);
	if (ret == 0)
		ret = buf_add(&c->out, p, n);
	if (ret == 0 && head_len > 0)
		ret = buf_add_str(&c->out, "\r\n");
	conn_wake(c);
	return ret;
}

void http_stream_end(struct http_request *r)
{
	int ret = 0;
	if (r->chunked && !r->head_only)
		ret = buf_add_str(&r->conn->out, HTTP1_LAST_CHUNK);
	r->conn->last = r->conn->last || must_close(r);
	finish(r, ret);
}

/* ---- taking the connection over ---- */

int http_upgrade(
    struct http_request *r, const char *protocol, int *ret_fd, struct buf *ret_early, struct err *e)
{
	struct http_conn *c = r->conn;
	if (!http1_is(r->head.h.upgrade, protocol))
		return err_set(e, ERR_INVALID,
		    "this path speaks only %s: send Connection: Upgrade and "
		    "Upgrade: %s",
		    protocol, protocol);
	char text[512];
	struct http1_out o = { .base = text, .cap = sizeof(text) };
	http1_put_status_line(&o, 101, (struct bytes){ "", 0 });
	http1_put_field_text(&o, "Connection", "Upgrade");
	http1_put_field_text(&o, "Upgrade", protocol);
	http1_put_end(&o);
	/* Nothing is unsent here: the last answer went out before this request was read. */
	if (o.overflow || send(c->fd, o.base, o.len, MSG_NOSIGNAL) != (ssize_t)o.len)
		return err_set(e, ERR_UNAVAILABLE, "the client left before its upgrade");
	sd_event_source_disable_unref(c->io);
	c->io = NULL;
	*ret_fd = c->fd;
	*ret_early = c->in;
	buf_init(&c->in, HTTP_IN_MAX);
	c->taken = true;
	finish(r, 0);
	return 0;
}
