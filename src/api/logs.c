#include "api/handlers.h"
#include "api/machine_show.h"
#include "base/str.h"

/* An app's log lines: telemetry's stream, passed on as it is. What telemetry sends while the client
 * does not read stays in one piece here, and telemetry is held back. */

struct logs {
	struct call *call;
	struct http_transfer *transfer; /* NULL once it ended */
	struct buf held;                /* one piece that did not fit yet */
	bool begun, ended;
};

static void logs_free(void *work)
{
	struct logs *l = work;
	http_cancel(l->transfer);
	buf_done(&l->held);
	free(l);
}

static void give_held(struct logs *l)
{
	struct call *c = l->call;
	if (l->held.len > 0) {
		if (http_stream_write(c->http, l->held.data, l->held.len) < 0)
			return; /* again when the client has read; or it is gone, and so are we soon
				 */
		buf_reset(&l->held);
	}
	if (l->ended)
		http_stream_end(c->http);
	else if (l->transfer)
		http_pause(l->transfer, false);
}

static void ready(void *user)
{
	struct call *c = user;
	give_held(c->work);
}

static int on_data(void *arg, const void *p, size_t n)
{
	struct logs *l = arg;
	if (http_transfer_status(l->transfer) != 200)
		return buf_add(&l->held, p, n) < 0; /* an error's body */
	if (!l->begun) {
		l->begun = true;
		if (http_stream_begin(l->call->http, 200, "application/x-ndjson", ready) < 0)
			return 1;
	}
	if (l->held.len == 0 && http_stream_write(l->call->http, p, n) == 0)
		return 0;
	http_pause(l->transfer, true);
	return buf_add(&l->held, p, n) < 0;
}

static void answer_error(struct logs *l, int status, const struct err *failed)
{
	struct err e;
	cleanup_json json_t *body = NULL;
	if (failed) {
		(void)err_set(
		    &e, ERR_UNAVAILABLE, "the logs cannot be read now: %.300s", failed->text);
	} else {
		const char *text = "";
		if (l->held.len > 0 && json_parse(l->held.data, l->held.len, &body, &e) == 0)
			text = state_text(body, "error");
		(void)err_set(&e, status == 400 ? ERR_INVALID : ERR_UNAVAILABLE, "%.300s",
		    *text ? text : "ward-telemetry refused to give the logs");
	}
	call_fail(l->call, &e);
}

static void on_done(void *arg, int status, struct bytes body, const struct err *failed)
{
	struct logs *l = arg;
	l->transfer = NULL;
	l->ended = true;
	if (!l->begun && !failed && status == 200 &&
	    http_stream_begin(l->call->http, 200, "application/x-ndjson", ready) == 0)
		l->begun = true;
	if (l->begun)
		give_held(l);
	else
		answer_error(l, status, failed);
}

/* Parameters are checked, then written anew: nothing the client sent is passed on as it is. */
static bool make_path(struct call *c, const char *app_id, struct buf *path)
{
	bool follow = false;
	int64_t limit = 0;
	const char *machine = http_query(c->http, "machine"), *after = http_query(c->http, "after");
	if (!call_query_bool(c, "follow", &follow) || !call_query_int(c, "limit", 1, 10000, &limit))
		return false;
	if (machine && *machine && !id_is_machine(machine)) {
		call_failf(c, ERR_INVALID, "machine must be a machine's id: 14 hexadecimal digits");
		return false;
	}
	for (const char *p = after ? after : ""; *p; p++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:,",
			*p)) {
			call_failf(c, ERR_INVALID, "after must be a cursor from an earlier line");
			return false;
		}
	}
	int r = buf_printf(path, "/v1/logs?app=%s", app_id);
	if (r == 0 && machine && *machine)
		r = buf_printf(path, "&machine=%s", machine);
	if (r == 0 && after && *after)
		r = buf_printf(path, "&after=%s", after);
	if (r == 0 && follow)
		r = buf_add_str(path, "&follow=1");
	if (r == 0 && limit > 0)
		r = buf_printf(path, "&limit=%lld", (long long)limit);
	if (r < 0)
		call_failf(c, ERR_INVALID, "after is too long");
	return r == 0;
}

void logs_show(struct call *c)
{
	static const struct http_transfer_ops ops = { .data = on_data, .done = on_done };
	cleanup_buf struct buf path;
	char socket[108];
	struct err e;
	bool follow = false;
	json_t *app = call_app(c);
	buf_init(&path, 2048);
	if (!app || !make_path(c, state_text(app, "id"), &path))
		return;
	follow = strstr(path.data, "&follow=1") != NULL;
	struct logs *l = calloc(1, sizeof(*l));
	if (!l || (size_t)snprintf(socket, sizeof(socket), "%s/telemetry.sock",
		      c->api->places.run) >= sizeof(socket)) {
		free(l);
		call_failf(c, ERR_NO_MEMORY, "no memory to read logs");
		return;
	}
	l->call = c;
	buf_init(&l->held, 64 * 1024);
	call_work(c, l, logs_free);
	if (http_start(c->api->client, socket, "GET", path.data, NULL, (struct bytes){ 0 }, NULL, 0,
		follow ? 0 : 60 * 1000, &ops, l, &l->transfer, &e) < 0)
		call_fail(c, &e);
}
