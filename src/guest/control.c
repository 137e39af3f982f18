#include "guest/control.h"
#include "base/json.h"
#include "base/str.h"
#include "guest/port.h"
#include "guest/say.h"
#include "proto/h2_memory.h"
#include <string.h>

enum {
	STREAMS = 64,
	OUT = 32768,
	CALL_OUT_MAX = 64 * 1024,
	MEMORY_MAX = 256 * 1024,
	FRAME_MAX = 16384 + 64
};

struct call {
	int32_t id;
	char method[8], path[64];
	const struct route *route;
	struct buf body, out;
	bool begun, ended, deferred, too_large, body_whole;
	int status;
	const struct call_ops *ops;
	void *user;
	struct call *next;
};

static struct port port;
static nghttp2_session *session;
static const struct route *routes;
static size_t nroutes;
static struct call *calls;
static uint8_t out[OUT];
static size_t out_len, out_at;
static struct h2_memory memory;
static bool busy; /* inside nghttp2 or a flush: its handlers must not enter again */

/* ---- calls ---- */
static struct call *call_find(int32_t id)
{
	struct call *c = calls;
	while (c && c->id != id)
		c = c->next;
	return c;
}

static void call_free(struct call *c)
{
	for (struct call **p = &calls; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	if (c->ops && c->ops->gone)
		c->ops->gone(c->user);
	buf_done(&c->body);
	buf_done(&c->out);
	free(c);
}

struct bytes call_body(const struct call *c)
{
	return buf_bytes(&c->body);
}

void call_set(struct call *c, const struct call_ops *ops, void *user)
{
	c->ops = ops;
	c->user = user;
}

static ssize_t read_out(nghttp2_session *s, int32_t id, uint8_t *dst, size_t n, uint32_t *flags,
    nghttp2_data_source *src, void *arg)
{
	struct call *c = src->ptr;
	size_t k = MIN(n, c->out.len);
	if (!k && !c->ended) {
		c->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (k)
		memcpy(dst, c->out.data, k);
	buf_consume(&c->out, k);
	if (!c->out.len && c->ended)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)k;
}

static void submit(struct call *c)
{
	char status[4];
	snprintf(status, sizeof status, "%03d", c->status % 1000);
	nghttp2_nv nv = { (uint8_t *)(char[]){ ":status" }, (uint8_t *)status, 7, 3,
		NGHTTP2_NV_FLAG_NONE };
	nghttp2_data_provider body = { .source.ptr = c, .read_callback = read_out };
	if (session && nghttp2_submit_response(session, c->id, &nv, 1, &body) != 0)
		(void)nghttp2_submit_rst_stream(
		    session, NGHTTP2_FLAG_NONE, c->id, NGHTTP2_INTERNAL_ERROR);
}

static void wake(struct call *c)
{
	if (c->deferred && session) {
		c->deferred = false;
		(void)nghttp2_session_resume_data(session, c->id);
	}
}

void call_begin(struct call *c)
{
	c->begun = true;
	c->status = 200;
	submit(c);
}

size_t call_room(const struct call *c)
{
	return c->out.len < CALL_OUT_MAX ? CALL_OUT_MAX - c->out.len : 0;
}

void call_write(struct call *c, const void *p, size_t n)
{
	if (buf_add(&c->out, p, n) < 0 && session)
		(void)nghttp2_submit_rst_stream(
		    session, NGHTTP2_FLAG_NONE, c->id, NGHTTP2_INTERNAL_ERROR);
	wake(c);
}

void call_end(struct call *c)
{
	c->ended = true;
	wake(c);
}

void call_used(struct call *c, size_t n)
{
	if (session)
		(void)nghttp2_session_consume_stream(session, c->id, n);
}

void call_reply(struct call *c, int status, json_t *body)
{
	cleanup_json json_t *j = body;
	cleanup_free char *text = j ? json_format(j) : strdup("{}");
	c->status = text ? status : 500;
	if (text && buf_add(&c->out, text, strlen(text)) < 0)
		c->status = 500;
	c->begun = c->ended = true;
	submit(c);
}

void call_reply_err(struct call *c, const struct err *e)
{
	call_reply(c, err_code_status(e->code),
	    json_pack("{s:s, s:s}", "error", e->text, "code", err_code_name(e->code)));
}

/* ---- nghttp2's callbacks ---- */
static int on_begin(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct call *c = calloc(1, sizeof *c);
	if (!c)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	c->id = f->hd.stream_id;
	buf_init(&c->body, GUEST_BODY_MAX);
	buf_init(&c->out, GUEST_BODY_MAX + CALL_OUT_MAX);
	c->next = calls;
	calls = c;
	return 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t nlen,
    const uint8_t *value, size_t vlen, uint8_t flags, void *arg)
{
	struct call *c = call_find(f->hd.stream_id);
	if (!c)
		return 0;
	if (nlen == 7 && !memcmp(name, ":method", 7) && vlen < sizeof c->method)
		memcpy(c->method, value, vlen);
	if (nlen == 5 && !memcmp(name, ":path", 5) && vlen < sizeof c->path)
		memcpy(c->path, value, vlen);
	return 0;
}

static void route_find(struct call *c)
{
	for (size_t i = 0; i < nroutes; i++)
		if (streq(routes[i].method, c->method) && streq(routes[i].path, c->path))
			c->route = &routes[i];
}

static void body_end(struct call *c)
{
	if (c->body_whole)
		return;
	c->body_whole = true;
	if (c->route && c->route->stream) {
		if (c->ops && c->ops->data)
			c->ops->data(c->user, NULL, 0);
	} else if (!c->begun && c->route) {
		if (c->too_large)
			call_reply(c, 413, json_pack("{s:s}", "error", "the body is too large"));
		else
			c->route->handle(c);
	}
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	struct call *c = call_find(f->hd.stream_id);
	if (!c)
		return 0;
	if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST) {
		route_find(c);
		if (!c->route)
			call_reply(c, 404, json_pack("{s:s}", "error", "no such call"));
		else if (c->route->stream)
			c->route->handle(c);
	}
	if ((f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) &&
	    f->hd.flags & NGHTTP2_FLAG_END_STREAM)
		body_end(c);
	return 0;
}

static int on_data(
    nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct call *c = call_find(id);
	/* The connection's window is given back at once, so that one stream nobody reads cannot
	 * stop the others. */
	(void)nghttp2_session_consume_connection(s, n);
	if (!c || !c->route || !c->route->stream) {
		(void)nghttp2_session_consume_stream(s, id, n);
		if (c && buf_add(&c->body, p, n) < 0)
			c->too_large = true;
	} else if (n && c->ops && c->ops->data) {
		c->ops->data(c->user, p, n);
	} else {
		(void)nghttp2_session_consume_stream(s, id, n);
	}
	return 0;
}

static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *arg)
{
	struct call *c = call_find(id);
	if (c)
		call_free(c);
	return 0;
}

/* ---- the session ---- */
static void session_end(void)
{
	nghttp2_session *old = session;
	session = NULL; /* handlers told that their call is gone must not use it */
	while (calls)
		call_free(calls);
	nghttp2_session_del(old);
	out_len = out_at = 0;
}

static int session_new(nghttp2_session **ret)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *o = NULL;
	int r = nghttp2_session_callbacks_new(&cb);
	if (r == 0 && (r = nghttp2_option_new(&o)) == 0) {
		nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
		nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
		nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
		nghttp2_option_set_no_auto_window_update(o, 1);
		nghttp2_option_set_no_closed_streams(o, 1);
		nghttp2_option_set_max_deflate_dynamic_table_size(o, 0);
		nghttp2_option_set_max_outbound_ack(o, 64);
		nghttp2_option_set_max_settings(o, 16);
		nghttp2_mem mem = h2_memory_hooks(&memory, MEMORY_MAX);
		r = nghttp2_session_server_new3(ret, cb, NULL, o, &mem);
	}
	nghttp2_option_del(o);
	nghttp2_session_callbacks_del(cb);
	return r;
}

static void reset(void *arg)
{
	session_end();
	nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, GUEST_WINDOW },
		{ NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0 },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 8192 },
	};
	if (session_new(&session) != 0 ||
	    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, countof(settings)) != 0)
		session_end();
}

static void flush_port(void *arg)
{
	while (session) {
		/* One piece is at most a frame of the default size and its head. */
		while (OUT - out_len >= FRAME_MAX) {
			const uint8_t *p;
			ssize_t n = nghttp2_session_mem_send(session, &p);
			if (n <= 0)
				break;
			if ((size_t)n > FRAME_MAX) {
				session_end();
				return;
			}
			memcpy(out + out_len, p, (size_t)n);
			out_len += (size_t)n;
		}
		size_t k = out_at < out_len ? port_write(&port, out + out_at, out_len - out_at) : 0;
		if (!k)
			break;
		out_at += k;
		if (out_at == out_len) {
			out_at = out_len = 0;
		} else {
			memmove(out, out + out_at, out_len - out_at);
			out_len -= out_at;
			out_at = 0;
		}
	}
	for (struct call *c = calls, *n; c; c = n) {
		n = c->next;
		if (c->begun && !c->ended && c->ops && c->ops->room &&
		    call_room(c) >= CALL_OUT_MAX / 2)
			c->ops->room(c->user);
	}
}

void control_flush(void)
{
	if (busy)
		return;
	busy = true;
	if (port.session)
		flush_port(NULL);
	busy = false;
}

static void input(void *arg, const uint8_t *p, size_t n)
{
	if (!session)
		return;
	busy = true;
	ssize_t r = nghttp2_session_mem_recv(session, p, n);
	busy = false;
	if (r < 0) {
		session_end(); /* all input is dropped until the next SYNC */
		return;
	}
	control_flush();
}

static void writable(void *arg)
{
	control_flush();
}

bool control_start(const uint8_t token[static GUEST_TOKEN_LEN], const struct route *table, size_t n)
{
	routes = table;
	nroutes = n;
	port = (struct port){ .name = GUEST_PORT_CONTROL,
		.token = token,
		.reset = reset,
		.input = input,
		.writable = writable };
	return port_open(&port);
}
