/* POST /v1/exec: one command, its output collected. */
#include "base/str.h"
#include "link/link.h"
#include "link/utf8.h"
#include "proto/exec_frames.h"

enum {
	OUTPUT_MAX = 1024 * 1024,
	STDIN_MAX = 768 * 1024,
	TIMEOUT_MS = 60000,
	TIMEOUT_MAX_MS = 3600 * 1000
};

static unsigned exit_number(const uint8_t *p)
{
	return (unsigned)p[0] << 24 | (unsigned)p[1] << 16 | (unsigned)p[2] << 8 | p[3];
}

static int add_frame(struct buf *b, enum exec_type type, const void *p, size_t n)
{
	uint8_t head[EXEC_HEAD];
	exec_head_encode(head, type, n);
	int r = buf_add(b, head, sizeof head);
	return r < 0 || !n ? r : buf_add(b, p, n);
}

/* ---- one command ---- */
struct exec {
	struct http_request *request; /* NULL: its client left, or it was answered */
	struct h2_request *call;
	struct exec_walk walk;
	struct buf out, err, last; /* last: the payload of EXIT or ERROR */
	bool whole, broken, too_large;
};

static void exec_free(struct exec *x)
{
	buf_done(&x->out);
	buf_done(&x->err);
	buf_done(&x->last);
	free(x);
}

static void exec_gone(void *user)
{
	struct exec *x = user;
	if (x->call)
		h2_cancel(x->call);
	exec_free(x);
}

static void exec_part(struct exec *x, struct bytes part)
{
	switch (x->walk.type) {
	case EXEC_STDOUT: x->too_large |= buf_add(&x->out, part.base, part.len) < 0; break;
	case EXEC_STDERR: x->too_large |= buf_add(&x->err, part.base, part.len) < 0; break;
	default:
		if (buf_add(&x->last, part.base, part.len) < 0)
			x->broken = true;
		x->whole = !x->walk.left;
	}
}

static void exec_done(void *arg, int status, struct bytes body, const struct err *failed);

static void exec_data(void *arg, const uint8_t *p, size_t n)
{
	struct exec *x = arg;
	h2_consume(x->call, n);
	while (n && !x->broken && !x->whole) {
		size_t used;
		struct bytes part;
		x->broken = exec_walk_feed(&x->walk, p, n, &used, &part) < 0;
		if (!x->broken && part.base)
			exec_part(x, part);
		p += used;
		n -= used;
	}
	if (x->too_large || x->broken) { /* no use in waiting for its end */
		struct h2_request *call = x->call;
		x->call = NULL;
		h2_cancel(call);
		exec_done(x, 200, (struct bytes){ 0 }, NULL);
	}
}

static json_t *text_json(const struct buf *b)
{
	cleanup_free char *clean = malloc(3 * b->len + 1);
	return clean ? json_stringn(clean, utf8_clean(clean, b->data, b->len)) : NULL;
}

static void exec_done(void *arg, int status, struct bytes body, const struct err *failed)
{
	struct exec *x = arg;
	struct http_request *r = x->request;
	struct err e = { 0 };
	x->call = NULL;
	x->request = NULL;
	const uint8_t *last = (uint8_t *)x->last.data;
	if (failed) {
		http_answer_err(r, failed);
	} else if (x->too_large) {
		err_set(&e, ERR_TOO_LARGE, "the command wrote more than %d bytes", OUTPUT_MAX);
		err_next(&e, "use exec-stream (`ward machine exec` with a terminal), or let it "
			     "write to a file");
		http_answer_err(r, &e);
	} else if (status == 200 && x->whole && x->walk.type == EXEC_EXIT) {
		cleanup_json json_t *j = json_pack("{s:I, s:I, s:o, s:o}", "exit_code",
		    (json_int_t)exit_number(last), "exit_signal", (json_int_t)exit_number(last + 4),
		    "stdout", text_json(&x->out), "stderr", text_json(&x->err));
		http_answer_json(r, 200, j);
	} else if (status == 200 && x->whole && x->walk.type == EXEC_ERROR) {
		cleanup_free char *clean = malloc(3 * x->last.len + 1);
		size_t len = clean ? utf8_clean(clean, x->last.data, x->last.len) : 0;
		err_set(&e, ERR_INVALID, "the command could not be run: %.*s", (int)MIN(len, 300),
		    clean ? clean : "");
		http_answer_err(r, &e);
	} else {
		err_set(&e, status == 503 ? ERR_UNAVAILABLE : ERR_PROTOCOL,
		    "the guest did not run the command (status %d)", status);
		http_answer_err(r, &e);
	}
}

/* Checked here, so that a mistake is the caller's error and not the guest's; the frames that go to
 * the guest. */
static int exec_frames(
    struct http_request *r, struct buf *frames, unsigned *ret_timeout, struct err *e)
{
	cleanup_json json_t *j = NULL;
	json_t *cmd = NULL;
	const char *in = NULL;
	int64_t ms = TIMEOUT_MS;
	struct bytes b = http_body(r);
	int k = json_parse(b.base ? b.base : "", b.len, &j, e);
	if (k < 0 || (k = json_opt_array(j, "", "cmd", &cmd, e)) < 0 ||
	    (k = json_opt_str(j, "", "stdin", &in, e)) < 0 ||
	    (k = json_opt_int(j, "", "timeout_ms", 1, TIMEOUT_MAX_MS, &ms, e)) < 0)
		return k;
	if (!json_array_size(cmd))
		return err_set(e, ERR_INVALID, "cmd: an array of at least one string is needed");
	size_t n = in ? strlen(in) : 0;
	cleanup_free char *raw = malloc(n / 4 * 3 + 4);
	ssize_t len = raw && n ? base64_decode(raw, n / 4 * 3 + 4, in, n) : 0;
	if (len < 0)
		return err_set(e, ERR_INVALID, "stdin is not base64");
	(void)json_object_del(j, "stdin");
	(void)json_object_del(j, "timeout_ms");
	cleanup_free char *open = json_format(j);
	if (!open || !raw)
		return err_set(e, ERR_NO_MEMORY, "no memory for the command");
	if (strlen(open) > EXEC_OPEN_MAX || len > STDIN_MAX)
		return err_set(e, ERR_TOO_LARGE, "the command may have %d bytes, its stdin %d",
		    EXEC_OPEN_MAX, STDIN_MAX);
	k = add_frame(frames, EXEC_OPEN, open, strlen(open));
	for (size_t at = 0; k == 0 && at < (size_t)len; at += EXEC_PAYLOAD_MAX)
		k = add_frame(
		    frames, EXEC_STDIN, raw + at, MIN((size_t)len - at, EXEC_PAYLOAD_MAX));
	if (k == 0)
		k = add_frame(frames, EXEC_STDIN_EOF, NULL, 0);
	*ret_timeout = (unsigned)ms;
	return k < 0 ? err_set(e, ERR_NO_MEMORY, "no memory for the command") : 0;
}

void http_exec(struct link *l, struct http_request *r)
{
	static const struct h2_request_ops ops = { .data = exec_data, .done = exec_done };
	cleanup_buf struct buf frames;
	struct err e = { 0 };
	unsigned timeout = 0;
	buf_init(&frames, 1024 * 1024);
	struct exec *x = calloc(1, sizeof *x);
	if (!x) {
		http_answer_empty(r, 503);
		return;
	}
	int k = exec_frames(r, &frames, &timeout, &e);
	if (k == 0 && !l->greeted)
		k = err_set(&e, ERR_UNAVAILABLE, "the machine's guest is not there");
	buf_init(&x->out, OUTPUT_MAX);
	buf_init(&x->err, OUTPUT_MAX);
	buf_init(&x->last, 2048);
	if (k == 0)
		k = h2_start(l->h2, "POST", "/exec", buf_bytes(&frames), false, timeout, &ops, x,
		    &x->call, &e);
	if (k < 0) {
		free(x);
		http_answer_err(r, &e);
		return;
	}
	x->request = r;
	http_set_user(r, x, exec_gone);
}
