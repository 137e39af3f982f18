#include "base/clock.h"
#include "base/str.h"
#include "store/etcd.h"
#include "store/view_level.h"
#include <sodium.h>

/* A view's life: log in if there is no token, list in pages, watch from there; on any doubt, and
 * every five minutes, again from the start. All on the event loop; nothing here blocks. */

enum {
	RELIST_MS = 5 * 60 * 1000,
	RETRY_MIN_MS = 50,
	RETRY_MAX_MS = 5000,
	STOOD_MS = 2000, /* a watch that stood so long makes a first retry quick again */
	PAGE_KEYS = 200,
	LINE_MAX_BYTES = 64 * 1024 * 1024,
};

enum phase { WAITING, LOGGING_IN, LISTING, WATCHING };

struct store_view {
	struct store *store;
	char *prefix;
	struct level level;
	struct level_listing listing;
	enum phase phase;
	struct http_transfer *transfer;
	sd_event_source *timer;
	struct buf line; /* of the watch's stream, not whole yet */
	bool synced, connected, closed;
	unsigned failures, busy;
	uint64_t watching_since;
	struct err error; /* the last failure; code 0: none since the watch stands */
};

static void view_free(struct store_view *v)
{
	sd_event_source_disable_unref(v->timer);
	level_listing_done(&v->listing);
	level_done(&v->level);
	buf_done(&v->line);
	free(v->prefix);
	free(v);
}

/* Callbacks may close the view; it goes when the outermost of our functions leaves. */
static void leave(struct store_view *v)
{
	if (--v->busy == 0 && v->closed)
		view_free(v);
}

static void arm(struct store_view *v, uint64_t delay_ms)
{
	sd_event_source_set_time(v->timer, clock_mono_us() + delay_ms * 1000);
	sd_event_source_set_enabled(v->timer, SD_EVENT_ONESHOT);
}

static void begin_again(struct store_view *v, uint64_t delay_ms)
{
	http_cancel(v->transfer);
	v->transfer = NULL;
	level_listing_done(&v->listing);
	v->phase = WAITING;
	arm(v, delay_ms);
}

/* Waits longer each time, and not in step with the other daemons. */
static void failed(struct store_view *v, const struct err *e)
{
	if (v->phase == WATCHING && clock_mono_ms() - v->watching_since >= STOOD_MS)
		v->failures = 0;
	unsigned shift = MIN(v->failures, 7U);
	uint64_t delay = MIN((uint64_t)RETRY_MIN_MS << shift, (uint64_t)RETRY_MAX_MS);
	v->failures++;
	v->connected = false;
	v->error = *e;
	begin_again(v, delay / 2 + randombytes_uniform((uint32_t)delay / 2 + 1));
}

static int ask(struct store_view *v, const char *path, const char *text, bool with_token,
    int timeout_ms, const struct http_transfer_ops *ops, struct err *e)
{
	char authorization[ETCD_TOKEN_MAX + 20];
	snprintf(authorization, sizeof(authorization), "Authorization: %s", v->store->token);
	const char *const headers[] = { "Content-Type: application/json",
		with_token ? authorization : NULL, NULL };
	return http_start(v->store->client, v->store->socket_path, "POST", path, headers,
	    (struct bytes){ text, strlen(text) }, NULL, ETCD_ANSWER_MAX, timeout_ms, ops, v,
	    &v->transfer, e);
}

static int start_listing(struct store_view *v, struct err *e);

static void login_done(void *arg, int status, struct bytes body, const struct err *err)
{
	struct store_view *v = arg;
	struct err e;
	v->transfer = NULL;
	v->busy++;
	if (err)
		failed(v, err);
	else if (etcd_login_answer(v->store, status, body, &e) < 0 || start_listing(v, &e) < 0)
		failed(v, &e);
	leave(v);
}

static int start_login(struct store_view *v, struct err *e)
{
	static const struct http_transfer_ops ops = { .done = login_done };
	char *text = etcd_login_body(v->store, e);
	if (!text)
		return -ENOMEM;
	v->phase = LOGGING_IN;
	int r = ask(v, "/v3/auth/authenticate", text, false, v->store->timeout_ms, &ops, e);
	explicit_bzero(text, strlen(text));
	free(text);
	return r;
}

/* One message of the watch. -ESTALE: list again. */
static int on_message(struct store_view *v, const char *text, size_t len, struct err *e)
{
	cleanup_json json_t *j = NULL;
	int r = json_parse(text, len, &j, e);
	if (r < 0)
		return err_prefix(e, r, "the store's watch");
	const json_t *result = json_object_get(j, "result");
	if (!result || json_is_true(json_object_get(result, "canceled"))) {
		const char *why =
		    json_string_value(json_object_get(result ? result : json_object_get(j, "error"),
			result ? "cancel_reason" : "message"));
		if (why && strstr(why, "token"))
			v->store->token[0] = 0;
		err_set(e, ERR_UNAVAILABLE, "the store ended the watch of %s: %.200s", v->prefix,
		    why                                           ? why
		    : etcd_get_number(result, "compact_revision") ? "compacted"
								  : "no reason given");
		return -ESTALE;
	}
	if (json_is_true(json_object_get(result, "created"))) {
		v->connected = true;
		v->watching_since = clock_mono_ms();
		v->error = (struct err){ 0 };
	}
	return level_events(&v->level, result, e);
}

static int watch_data(void *arg, const void *p, size_t n)
{
	struct store_view *v = arg;
	struct err e;
	int r = 0;
	v->busy++;
	if (buf_add(&v->line, p, n) < 0)
		r = err_set(&e, ERR_TOO_LARGE,
		    "a message of the store's watch is larger than %d bytes", LINE_MAX_BYTES);
	size_t from = 0;
	for (char *end; r == 0 && !v->closed &&
			(end = memchr(v->line.data + from, '\n', v->line.len - from));) {
		size_t len = (size_t)(end - v->line.data) - from;
		if (len)
			r = on_message(v, v->line.data + from, len, &e);
		from += len + 1;
	}
	buf_consume(&v->line, MIN(from, v->line.len));
	if (r < 0 && !v->closed)
		failed(v, &e);
	leave(v);
	return 0;
}

static void watch_done(void *arg, int status, struct bytes body, const struct err *err)
{
	struct store_view *v = arg;
	struct err e;
	v->transfer = NULL;
	v->busy++;
	if (!err)
		err_set(&e, ERR_UNAVAILABLE, "the store's watch of %s ended with status %d",
		    v->prefix, status);
	failed(v, err ? err : &e);
	leave(v);
}

static int start_watch(struct store_view *v, struct err *e)
{
	static const struct http_transfer_ops ops = { .data = watch_data, .done = watch_done };
	cleanup_json json_t *create =
	    json_pack("{so}", "start_revision", etcd_number(v->level.revision + 1));
	int r = create ? etcd_put_range(create, v->prefix, v->prefix, e)
		       : err_set(e, ERR_NO_MEMORY, "no memory to watch");
	if (r < 0)
		return r;
	cleanup_json json_t *body = json_pack("{sO}", "create_request", create);
	cleanup_free char *text = body ? json_format(body) : NULL;
	if (!text)
		return err_set(e, ERR_NO_MEMORY, "no memory to watch");
	buf_reset(&v->line);
	v->phase = WATCHING;
	v->watching_since = clock_mono_ms();
	r = ask(v, "/v3/watch", text, true, 0, &ops, e);
	if (r == 0)
		arm(v, RELIST_MS);
	return r;
}

/* Is the listing whole? Then it becomes the level, and the watch goes on from it. */
static int page_taken(struct store_view *v, struct err *e)
{
	if (v->listing.next)
		return start_listing(v, e);
	int r = level_replace(&v->level, &v->listing, e);
	if (r < 0 || v->closed)
		return r;
	v->synced = true;
	v->level.changed(v->level.arg, NULL, NULL);
	return v->closed ? 0 : start_watch(v, e);
}

static void page_done(void *arg, int status, struct bytes body, const struct err *err)
{
	struct store_view *v = arg;
	struct err e;
	int code = 0;
	cleanup_json json_t *answer = NULL;
	v->transfer = NULL;
	v->busy++;
	int r = -1;
	if (err) {
		e = *err;
		v->store->token[0] = 0; /* as in etcd_call */
	} else {
		r = etcd_answer(status, body, &answer, &code, &e);
		if (code == GRPC_UNAUTHENTICATED)
			v->store->token[0] = 0; /* it died with an etcd: the next attempt logs in */
	}
	if (r == 0)
		r = level_page(&v->listing, answer, &e);
	if (r == 0)
		r = page_taken(v, &e);
	if (r < 0 && !v->closed)
		failed(v, &e);
	leave(v);
}

static int start_listing(struct store_view *v, struct err *e)
{
	static const struct http_transfer_ops ops = { .done = page_done };
	const char *begin = v->listing.next ? v->listing.next : v->prefix;
	cleanup_json json_t *body =
	    json_pack("{si so}", "limit", PAGE_KEYS, "revision", etcd_number(v->listing.revision));
	int r = body ? etcd_put_range(body, begin, v->prefix, e)
		     : err_set(e, ERR_NO_MEMORY, "no memory to list");
	if (r < 0)
		return r;
	cleanup_free char *text = json_format(body);
	if (!text)
		return err_set(e, ERR_NO_MEMORY, "no memory to list");
	v->phase = LISTING;
	return ask(v, "/v3/kv/range", text, true, v->store->timeout_ms, &ops, e);
}

/* Time to begin: after a failure, or because the watch has stood for five minutes. */
static int on_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	struct store_view *v = arg;
	struct err e;
	v->busy++;
	if (v->phase == WATCHING) {
		begin_again(v, 0);
	} else if (v->phase == WAITING) {
		int r = v->store->token[0] ? start_listing(v, &e) : start_login(v, &e);
		if (r < 0)
			failed(v, &e);
	}
	leave(v);
	return 0;
}

int store_view_open(struct store *s, sd_event *loop, const char *prefix, store_changed_fn changed,
    void *arg, struct store_view **ret, struct err *e)
{
	int r = s->client ? 0 : http_client_new(loop, &s->client, e);
	if (r < 0)
		return r;
	struct store_view *v = calloc(1, sizeof(*v));
	if (!v || !(v->prefix = strdup(prefix))) {
		free(v);
		return err_set(e, ERR_NO_MEMORY, "no memory for a view");
	}
	v->store = s;
	v->level = (struct level){ .changed = changed, .arg = arg, .stop = &v->closed };
	buf_init(&v->line, LINE_MAX_BYTES);
	r = sd_event_add_time(loop, &v->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, v);
	if (r < 0) {
		view_free(v);
		return err_sys(e, -r, "cannot make a view's timer");
	}
	*ret = v;
	return 0;
}

void store_view_close(struct store_view *v)
{
	if (!v)
		return;
	http_cancel(v->transfer);
	v->transfer = NULL;
	v->closed = true;
	sd_event_source_set_enabled(v->timer, SD_EVENT_OFF);
	if (!v->busy)
		view_free(v);
}

json_t *store_view_get(const struct store_view *v, const char *key, int64_t *ret_rev)
{
	const struct view_entry *entry = view_map_find(&v->level.map, key);
	if (entry && ret_rev)
		*ret_rev = entry->rev;
	return entry ? entry->value : NULL;
}

int store_view_each(const struct store_view *v,
    int (*fn)(void *arg, const char *key, json_t *value, int64_t rev), void *arg)
{
	for (size_t i = 0; i < v->level.map.n; i++) {
		int r =
		    fn(arg, v->level.map.v[i].key, v->level.map.v[i].value, v->level.map.v[i].rev);
		if (r)
			return r;
	}
	return 0;
}

bool store_view_synced(const struct store_view *v)
{
	return v->synced;
}

bool store_view_connected(const struct store_view *v)
{
	return v->connected;
}

int64_t store_view_revision(const struct store_view *v)
{
	return v->level.revision;
}

const char *store_view_cluster(const struct store_view *v)
{
	return v->level.cluster;
}

const struct err *store_view_error(const struct store_view *v)
{
	return &v->error;
}
