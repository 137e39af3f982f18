#include "api/api.h"
#include "api/request.h"
#include "api/routes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "core/duration.h"

/* ---- life ---- */

static void stop_waiting(struct call *c)
{
	if (!c->waiting)
		return;
	if (c->prev)
		c->prev->next = c->next;
	else
		c->api->waiting = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->prev = c->next = NULL;
	c->waiting = false;
}

static void call_free(void *user)
{
	struct call *c = user;
	stop_waiting(c);
	sd_event_source_disable_unref(c->timer);
	call_work(c, NULL, NULL);
	ask_free(c->ask);
	json_decref(c->body);
	free(c);
}

void call_work(struct call *c, void *work, void (*work_free)(void *work))
{
	if (c->work && c->work_free)
		c->work_free(c->work);
	c->work = work;
	c->work_free = work_free;
}

/* ---- answers ---- */

void call_json(struct call *c, int status, json_t *body)
{
	struct err e;
	if (!body) {
		(void)err_set(&e, ERR_NO_MEMORY, "no memory for the answer");
		call_fail(c, &e);
		return;
	}
	struct http_request *r = c->http;
	http_answer_json(r, status, body);
	json_decref(body);
}

void call_fail(struct call *c, const struct err *e)
{
	http_answer_err(c->http, e);
}

void call_failf(struct call *c, enum err_code code, const char *fmt, ...)
{
	struct err e = { .code = code };
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(e.text, sizeof(e.text), fmt, ap);
	va_end(ap);
	call_fail(c, &e);
}

void call_ok(struct call *c)
{
	call_json(c, 200, json_pack("{s:b}", "ok", 1));
}

void call_warn(struct call *c, const char *text)
{
	/* It may quote what the client sent: nothing of that may shape a header. */
	char plain[256];
	size_t n = 0;
	for (; n < sizeof(plain) - 1 && text[n]; n++)
		plain[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
	plain[n] = 0;
	http_add_header(c->http, "ward-warning", plain);
}

/* ---- waiting ---- */

static int on_late(sd_event_source *s, uint64_t usec, void *arg)
{
	struct call *c = arg;
	stop_waiting(c);
	c->late(c);
	return 0;
}

void call_wait(
    struct call *c, uint64_t ms, bool (*check)(struct call *c), void (*late)(struct call *c))
{
	stop_waiting(c);
	c->check = check;
	c->late = late;
	if (check(c))
		return;
	sd_event_source_disable_unref(c->timer);
	c->timer = NULL;
	if (sd_event_add_time(c->api->loop, &c->timer, CLOCK_MONOTONIC, clock_mono_us() + ms * 1000,
		1000, on_late, c) < 0) {
		call_failf(c, ERR_NO_MEMORY, "no memory to wait");
		return;
	}
	c->waiting = true;
	c->next = c->api->waiting;
	if (c->next)
		c->next->prev = c;
	c->api->waiting = c;
}

static int on_kick(sd_event_source *s, void *arg)
{
	struct api *api = arg;
	struct call *next;
	for (struct call *c = api->waiting; c; c = next) {
		next = c->next;
		c->check(c); /* may answer, and free c alone */
	}
	requests_tidy(api);
	return 0;
}

void api_changed(struct api *api)
{
	if (!api->kick && sd_event_add_defer(api->loop, &api->kick, on_kick, api) < 0)
		return;
	sd_event_source_set_enabled(api->kick, SD_EVENT_ONESHOT);
}

/* ---- objects ---- */

json_t *call_app(struct call *c)
{
	json_t *app = state_app(&c->api->state, c->param[0]);
	if (!app)
		call_failf(c, ERR_NOT_FOUND, "app \"%s\" was not found", c->param[0]);
	return app;
}

bool call_machine(struct call *c, struct machine_ref *ret)
{
	json_t *app = call_app(c);
	if (!app)
		return false;
	if (!id_is_machine(c->param[1]) || !state_machine(&c->api->state, c->param[1], ret) ||
	    !streq(state_text(ret->desired, "app"), state_text(app, "id"))) {
		struct err e;
		(void)err_set(&e, ERR_NOT_FOUND, "machine %s was not found in app \"%s\"",
		    c->param[1], c->param[0]);
		err_next(&e, "`ward machine list --app %s` lists what there is", c->param[0]);
		call_fail(c, &e);
		return false;
	}
	return true;
}

/* ---- query ---- */

bool call_query_int(struct call *c, const char *key, int64_t min, int64_t max, int64_t *ret)
{
	const char *text = http_query(c->http, key);
	uint64_t n;
	if (!text || !*text)
		return true;
	if (!str_u64(text, (uint64_t)max, &n) || (int64_t)n < min) {
		call_failf(c, ERR_INVALID, "%s must be an integer between %lld and %lld", key,
		    (long long)min, (long long)max);
		return false;
	}
	*ret = (int64_t)n;
	return true;
}

bool call_query_bool(struct call *c, const char *key, bool *ret)
{
	const char *text = http_query(c->http, key);
	if (!text)
		return true;
	if (streq(text, "true") || streq(text, "1") || !*text) {
		*ret = true;
	} else if (streq(text, "false") || streq(text, "0")) {
		*ret = false;
	} else {
		call_failf(c, ERR_INVALID, "%s must be true or false", key);
		return false;
	}
	return true;
}

bool call_query_ms(struct call *c, const char *key, int64_t max, int64_t *ret)
{
	const char *text = http_query(c->http, key);
	int64_t ms;
	uint64_t seconds;
	if (!text || !*text)
		return true;
	if (str_u64(text, (uint64_t)max / 1000, &seconds)) {
		ms = (int64_t)seconds * 1000;
	} else if (!duration_parse_ms(text, &ms) || ms > max) {
		call_failf(c, ERR_INVALID,
		    "%s must be seconds, or a duration like \"10s\", and at most %lld s", key,
		    (long long)max / 1000);
		return false;
	}
	*ret = ms;
	return true;
}

/* ---- the way in ---- */

enum { BODY_DEPTH_MAX = 64 };

static bool take_body(struct call *c)
{
	struct bytes b = http_body(c->http);
	const struct schema *s = c->route->body;
	if (!s)
		return true;
	struct err e;
	if (b.len == 0 || (b.len == 4 && !memcmp(b.base, "null", 4)))
		c->body = json_object();
	else if (json_parse(b.base, b.len, &c->body, &e) < 0) {
		struct err shown;
		(void)err_set(&shown, ERR_INVALID, "the body is not JSON: %.300s", e.text);
		call_fail(c, &shown);
		return false;
	}
	if (json_is_deeper(c->body, BODY_DEPTH_MAX)) {
		call_failf(c, ERR_INVALID,
		    "the body has more than %d objects and lists inside one another",
		    BODY_DEPTH_MAX);
		return false;
	}
	struct schema_warnings w = { 0 };
	if (schema_check(s, c->body, c->route->flags & ROUTE_OWN, &w, &e) < 0) {
		call_fail(c, &e);
		return false;
	}
	for (size_t i = 0; i < MIN(w.count, (size_t)SCHEMA_WARNINGS_MAX); i++)
		call_warn(c, w.text[i]);
	return true;
}

static bool state_allows(struct call *c)
{
	const struct state *s = &c->api->state;
	unsigned flags = c->route->flags;
	if (flags & ROUTE_NO_STATE)
		return true;
	if (!state_synced(s)) {
		call_failf(c, ERR_UNAVAILABLE,
		    "the platform's state has not been read yet: the "
		    "store does not answer");
		return false;
	}
	if (state_connected(s))
		return true;
	if (flags & ROUTE_CHANGE) {
		call_failf(c, ERR_UNAVAILABLE,
		    "the store does not answer, so nothing can be changed now; what runs goes on");
		return false;
	}
	http_add_header(c->http, "ward-stale", "1");
	return true;
}

void api_handle(void *arg, struct http_request *r)
{
	struct api *api = arg;
	struct err e;
	struct call *c = calloc(1, sizeof(*c));
	if (!c) {
		(void)err_set(&e, ERR_NO_MEMORY, "no memory for a request");
		http_answer_err(r, &e);
		return;
	}
	c->api = api;
	c->http = r;
	http_set_user(r, c, call_free);

	char allow[64];
	bool is_path = route_find(http_method(r), http_path(r), &c->route, c->param, allow);
	enum right right = c->route ? c->route->right : RIGHT_PUBLIC;
	if (gate_check(&api->gate, http_header(r, "Authorization"), right, clock_mono_ms(), c->who,
		&e) < 0) {
		call_fail(c, &e);
		return;
	}
	if (!c->route && is_path) {
		http_add_header(r, "Allow", allow);
		call_failf(
		    c, ERR_METHOD_NOT_ALLOWED, "%s is not offered on this path", http_method(r));
	} else if (!c->route) {
		(void)err_set(&e, ERR_NOT_FOUND, "there is no such path");
		err_next(&e, "GET /v1/openapi.json describes all of them");
		call_fail(c, &e);
	} else if (state_allows(c) && take_body(c)) {
		c->route->handle(c);
	}
}

bool api_wants_stream(void *arg, const char *method, const char *path)
{
	const struct route *route;
	char param[CALL_PARAMS_MAX][CALL_PARAM_SIZE], allow[64];
	route_find(method, path, &route, param, allow);
	return route && route->flags & ROUTE_STREAM;
}
