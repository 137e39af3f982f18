#include "link/h2.h"
#include "base/clock.h"
#include "base/str.h"
#include "proto/guest.h"
#include "proto/h2_memory.h"
#include <nghttp2/nghttp2.h>

enum {
	MEMORY_MAX = 256 * 1024,
	HEADERS_MAX = 8192, /* of one stream, informational answers and trailers included */
	FRAMES_PER_S = 5000,
	FRAMES_BURST = 10000,
	BYTES_PER_S =
	    1024 *
	    1024, /* that are not the payload of DATA: heads, headers, frames of unknown types */
	BYTES_BURST = 4 * 1024 * 1024,
	PAUSE_MS = 50,
	PING_MS = 5000,
	SILENCE_MS = 15000,
};

struct h2 {
	nghttp2_session *session;
	sd_event *loop;
	const struct h2_ops *ops;
	void *arg;
	struct h2_memory memory;
	struct h2_request *requests;
	unsigned count;
	sd_event_source *ping;
	uint64_t last_heard_ms, refilled_ms;
	double frames, bytes; /* left in the two buckets */
	size_t payload;       /* of DATA, in the input being handled */
	bool broken;          /* a frame that no honest guest sends */
	bool busy;            /* inside nghttp2: its callbacks must not enter again */
	bool dying;
};

struct h2_request {
	struct h2 *h;
	int32_t id;
	const struct h2_request_ops *ops;
	void *arg;
	struct buf out, in;
	bool end, deferred, stream, answered, too_large, cancelled;
	int status;
	size_t header_bytes;
	sd_event_source *deadline;
	struct h2_request *next;
};

static struct h2_request *find(struct h2 *h, int32_t id)
{
	return id ? nghttp2_session_get_stream_user_data(h->session, id) : NULL;
}

static void flush(struct h2 *h)
{
	const uint8_t *p;
	ssize_t n;
	if (h->busy)
		return;
	h->busy = true;
	while (h->ops->may_send(h->arg) && (n = nghttp2_session_mem_send(h->session, &p)) > 0)
		if (h->ops->send(h->arg, p, (size_t)n) < 0)
			break; /* the connection is down, and its `down` ends this session */
	h->busy = false;
}

void h2_writable(struct h2 *h)
{
	flush(h);
}

static void unlink_request(struct h2_request *q)
{
	for (struct h2_request **p = &q->h->requests; *p; p = &(*p)->next)
		if (*p == q) {
			*p = q->next;
			break;
		}
	q->h->count--;
}

static void request_free(struct h2_request *q)
{
	sd_event_source_disable_unref(q->deadline);
	buf_done(&q->out);
	buf_done(&q->in);
	free(q);
}

/* It is out of the list. */
static void end(struct h2_request *q, const struct err *e)
{
	if (q->h->session && q->id > 0)
		(void)nghttp2_session_set_stream_user_data(q->h->session, q->id, NULL);
	if (!q->cancelled)
		q->ops->done(q->arg, e ? 0 : q->status, buf_bytes(&q->in), e);
	request_free(q);
}

static void finish(struct h2_request *q, const struct err *e)
{
	unlink_request(q);
	end(q, e);
}

static void reset(struct h2_request *q)
{
	if (q->h->session) /* none: the whole session is ending */
		(void)nghttp2_submit_rst_stream(
		    q->h->session, NGHTTP2_FLAG_NONE, q->id, NGHTTP2_CANCEL);
}

/* ---- what the guest sends ---- */
static void refill(struct h2 *h)
{
	uint64_t now = clock_mono_ms();
	double seconds = (double)(now - h->refilled_ms) / 1000;
	h->frames = MIN(FRAMES_BURST, h->frames + seconds * FRAMES_PER_S);
	h->bytes = MIN(BYTES_BURST, h->bytes + seconds * BYTES_PER_S);
	h->refilled_ms = now;
}

static int on_begin_frame(nghttp2_session *s, const nghttp2_frame_hd *hd, void *arg)
{
	struct h2 *h = arg;
	h->last_heard_ms = clock_mono_ms();
	/* DATA is bounded by its windows; all else would be accepted for ever. */
	if (hd->type != NGHTTP2_DATA || !hd->length)
		h->frames -= 1;
	/* ENABLE_PUSH=0 binds only a peer that has acknowledged it; ours has known it from the
	 * start. */
	if (hd->type == NGHTTP2_PUSH_PROMISE)
		h->broken = true;
	return 0;
}

static int on_invalid(nghttp2_session *s, const nghttp2_frame *f, int code, void *arg)
{
	struct h2 *h = arg;
	h->broken = true;
	return 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t nlen,
    const uint8_t *value, size_t vlen, uint8_t flags, void *arg)
{
	struct h2_request *q = find(arg, f->hd.stream_id);
	if (!q)
		return 0;
	q->header_bytes += nlen + vlen + 32;
	if (q->header_bytes > HEADERS_MAX)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (nlen == 7 && !memcmp(name, ":status", 7) && vlen == 3)
		q->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + value[2] - '0';
	return 0;
}

static int on_data(
    nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct h2 *h = arg;
	struct h2_request *q = find(h, id);
	h->payload += n;
	(void)nghttp2_session_consume_connection(s, n);
	if (q && q->ops->data && q->status == 200 && !q->cancelled) {
		q->ops->data(q->arg, p, n);
		return 0;
	}
	(void)nghttp2_session_consume_stream(s, id, n);
	if (q && buf_add(&q->in, p, n) < 0 && !q->too_large) {
		q->too_large = true;
		reset(q);
	}
	return 0;
}

static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *arg)
{
	struct h2_request *q = find(arg, id);
	struct err e = { 0 };
	if (!q)
		return 0;
	if (q->too_large)
		err_set(
		    &e, ERR_TOO_LARGE, "the guest's answer is larger than %d bytes", H2_BODY_MAX);
	else if (code || q->status < 200)
		err_set(&e, ERR_PROTOCOL, "the guest gave the call up (code %u)", code);
	finish(q, e.code ? &e : NULL);
	return 0;
}

int h2_input(struct h2 *h, const uint8_t *p, size_t n)
{
	h->busy = true;
	h->payload = 0;
	ssize_t r = nghttp2_session_mem_recv(h->session, p, n);
	h->busy = false;
	if (r < 0)
		return -EPROTO;
	flush(h);
	/* What is wrong with the connection itself, nghttp2 answers with GOAWAY and then wants to
	 * read no more. */
	if (h->broken || !nghttp2_session_want_read(h->session))
		return -EPROTO;
	refill(h);
	h->bytes -= (double)(n - h->payload);
	if (h->frames < 0 || h->bytes < 0)
		h->ops->too_fast(h->arg, PAUSE_MS);
	return 0;
}

/* ---- keepalive: a guest whose session died is silent ---- */
static int on_ping(sd_event_source *s, uint64_t usec, void *arg)
{
	struct h2 *h = arg;
	if (clock_mono_ms() - h->last_heard_ms > SILENCE_MS) {
		h->ops->dead(h->arg, false, "the guest does not answer");
		return 0;
	}
	(void)nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
	flush(h);
	(void)sd_event_source_set_time_relative(s, PING_MS * 1000);
	(void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

/* ---- the session ---- */
static int session_new(struct h2 *h)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *o = NULL;
	int r = nghttp2_session_callbacks_new(&cb);
	if (r == 0 && (r = nghttp2_option_new(&o)) == 0) {
		nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
		nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid);
		nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
		nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
		nghttp2_option_set_no_auto_window_update(o, 1);
		nghttp2_option_set_max_deflate_dynamic_table_size(o, 0);
		nghttp2_option_set_max_outbound_ack(o, 64);
		nghttp2_option_set_max_settings(o, 16);
		nghttp2_option_set_max_reserved_remote_streams(o, 0);
		nghttp2_option_set_peer_max_concurrent_streams(o, H2_REQUESTS_MAX);
		nghttp2_mem mem = h2_memory_hooks(&h->memory, MEMORY_MAX);
		r = nghttp2_session_client_new3(&h->session, cb, h, o, &mem);
	}
	nghttp2_option_del(o);
	nghttp2_session_callbacks_del(cb);
	return r;
}

int h2_new(sd_event *loop, const struct h2_ops *ops, void *arg, struct h2 **ret, struct err *e)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, GUEST_WINDOW },
		{ NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0 },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADERS_MAX },
	};
	struct h2 *h = calloc(1, sizeof *h);
	if (!h)
		return err_set(e, ERR_NO_MEMORY, "no memory for a session");
	h->loop = loop;
	h->ops = ops;
	h->arg = arg;
	h->last_heard_ms = h->refilled_ms = clock_mono_ms();
	h->frames = FRAMES_BURST;
	h->bytes = BYTES_BURST;
	int r = session_new(h);
	if (r == 0)
		r = nghttp2_submit_settings(
		    h->session, NGHTTP2_FLAG_NONE, settings, countof(settings));
	if (r == 0)
		r = sd_event_add_time_relative(
		    loop, &h->ping, CLOCK_MONOTONIC, PING_MS * 1000, 0, on_ping, h);
	if (r < 0) {
		h2_free(h);
		return err_set(e, ERR_NO_MEMORY, "cannot make a session");
	}
	*ret = h;
	flush(h);
	return 0;
}

void h2_free(struct h2 *h)
{
	struct err e = { 0 };
	if (!h)
		return;
	nghttp2_session *s = h->session;
	h->dying = true;
	h->session = NULL;
	err_set(&e, ERR_UNAVAILABLE, "the connection to the guest ended");
	for (struct h2_request *q; (q = h->requests);) {
		h->requests = q->next;
		h->count--;
		end(q, &e);
	}
	nghttp2_session_del(s);
	sd_event_source_disable_unref(h->ping);
	free(h);
}

/* ---- requests ---- */
static ssize_t read_body(nghttp2_session *s, int32_t id, uint8_t *dst, size_t n, uint32_t *flags,
    nghttp2_data_source *src, void *arg)
{
	struct h2_request *q = find(arg, id);
	if (!q) { /* cancelled just now: its reset is on the way */
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		return 0;
	}
	size_t k = MIN(n, q->out.len);
	if (!k && !q->end) {
		q->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (k)
		memcpy(dst, q->out.data, k);
	buf_consume(&q->out, k);
	if (!q->out.len && q->end)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (k && q->ops->room && !q->cancelled)
		q->ops->room(q->arg);
	return (ssize_t)k;
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *arg)
{
	struct h2_request *q = arg;
	struct h2 *h = q->h;
	struct err e = { 0 };
	err_set(&e, ERR_TIMEOUT, "the guest did not answer in time");
	reset(q);
	finish(q, &e);
	flush(h);
	return 0;
}

static nghttp2_nv header(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
		strlen(value), NGHTTP2_NV_FLAG_NONE };
}

int h2_start(struct h2 *h, const char *method, const char *path, struct bytes body, bool stream,
    unsigned timeout_ms, const struct h2_request_ops *ops, void *arg, struct h2_request **ret,
    struct err *e)
{
	if (h->dying || h->count >= H2_REQUESTS_MAX)
		return err_set(e, ERR_UNAVAILABLE, "too many calls to the guest at once (%d)",
		    H2_REQUESTS_MAX);
	struct h2_request *q = calloc(1, sizeof *q);
	if (!q)
		return err_set(e, ERR_NO_MEMORY, "no memory for a call");
	*q =
	    (struct h2_request){ .h = h, .ops = ops, .arg = arg, .stream = stream, .end = !stream };
	buf_init(&q->out, H2_BODY_MAX + H2_STREAM_MAX);
	buf_init(&q->in, H2_BODY_MAX);
	nghttp2_nv nv[] = { header(":method", method), header(":scheme", "http"),
		header(":authority", "guest"), header(":path", path) };
	nghttp2_data_provider data = { .read_callback = read_body };
	bool has_body = stream || body.len;
	if (buf_add(&q->out, body.base, body.len) < 0 ||
	    (q->id = nghttp2_submit_request(
		 h->session, NULL, nv, countof(nv), has_body ? &data : NULL, q)) < 0 ||
	    (timeout_ms && sd_event_add_time_relative(h->loop, &q->deadline, CLOCK_MONOTONIC,
			       (uint64_t)timeout_ms * 1000, 0, on_deadline, q) < 0)) {
		if (q->id > 0) {
			(void)nghttp2_session_set_stream_user_data(h->session, q->id, NULL);
			reset(q);
		}
		request_free(q);
		return err_set(e, ERR_NO_MEMORY, "the call could not be made");
	}
	q->next = h->requests;
	h->requests = q;
	h->count++;
	*ret = q;
	flush(h);
	return 0;
}

static void wake(struct h2_request *q)
{
	if (q->deferred) {
		q->deferred = false;
		(void)nghttp2_session_resume_data(q->h->session, q->id);
	}
	flush(q->h);
}

size_t h2_room(const struct h2_request *q)
{
	return q->out.len < H2_STREAM_MAX ? H2_STREAM_MAX - q->out.len : 0;
}

void h2_write(struct h2_request *q, const void *p, size_t n)
{
	if (buf_add(&q->out, p, n) < 0)
		reset(q);
	wake(q);
}

void h2_end(struct h2_request *q)
{
	q->end = true;
	wake(q);
}

void h2_consume(struct h2_request *q, size_t n)
{
	(void)nghttp2_session_consume_stream(q->h->session, q->id, n);
	flush(q->h);
}

void h2_cancel(struct h2_request *q)
{
	struct h2 *h = q->h;
	q->cancelled = true;
	reset(q);
	finish(q, NULL);
	flush(h);
}
