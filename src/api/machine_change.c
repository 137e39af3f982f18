#include "api/handlers.h"
#include "api/machine_show.h"
#include "api/request.h"
#include "api/seal.h"
#include "base/str.h"
#include "core/duration.h"

/* ---- create and update ---- */

struct made {
	char machine[MACHINE_ID_LEN + 1], instance[ULID_LEN + 1];
	int64_t lease_ttl;
};

static void answer_made(struct call *c, const struct machine_ref *m, const char *nonce)
{
	json_t *shown = machine_show(c, m, MACHINE_WHOLE);
	if (shown && nonce)
		json_object_set_new(shown, "nonce", json_string(nonce));
	call_json(c, 200, shown);
}

/* The outcome is there; our view of the machine itself may be a moment behind. */
static bool check_made(struct call *c)
{
	const struct made *w = c->work;
	struct machine_ref m;
	if (!state_machine(&c->api->state, w->machine, &m) ||
	    strcmp(state_text(m.desired, "instance_id"), w->instance) < 0)
		return false;
	if (w->lease_ttl <= 0) {
		answer_made(c, &m, NULL);
		return true;
	}
	char nonce[32];
	struct err e;
	if (lease_take(c, w->machine, w->instance, w->lease_ttl, nonce, &e) < 0)
		call_fail(c, &e);
	else
		answer_made(c, &m, nonce);
	return true;
}

static void late_made(struct call *c)
{
	const struct made *w = c->work;
	call_failf(c, ERR_UNAVAILABLE,
	    "machine %s was accepted, but its record cannot be read now; ask again", w->machine);
}

static void made(struct call *c, int status, json_t *result)
{
	struct made *w = calloc(1, sizeof(*w));
	if (!w || !str_copy(w->machine, sizeof(w->machine), state_text(result, "machine")) ||
	    !str_copy(w->instance, sizeof(w->instance), state_text(result, "instance_id"))) {
		free(w);
		call_failf(c, ERR_INTERNAL, "ward-control's outcome names no machine");
		return;
	}
	w->lease_ttl = json_integer_value(json_object_get(c->body, "lease_ttl"));
	call_work(c, w, free);
	call_wait(c, REQUEST_SETTLE_MS, check_made, late_made);
}

/* The config from the body, sealed for this app; the request is made of it. NULL: answered. */
static json_t *take_config(struct call *c, const char *app_id)
{
	struct err e;
	json_t *config = json_object_get(c->body, "config");
	if (config_seal(c->api->places.run, app_id, config, &e) < 0) {
		call_fail(c, &e);
		return NULL;
	}
	return config;
}

/* Members that were given, and not empty. */
static void copy_given(json_t *to, const json_t *from, const char *key)
{
	json_t *v = json_object_get(from, key);
	if (v && !json_is_null(v) && !(json_is_string(v) && json_string_length(v) == 0))
		json_object_set(to, key, v);
}

void machines_create(struct call *c)
{
	json_t *app = call_app(c);
	json_t *config = app ? take_config(c, state_text(app, "id")) : NULL;
	if (!config)
		return;
	json_t *body = json_pack("{s:O}", "config", config);
	copy_given(body, c->body, "name");
	copy_given(body, c->body, "region");
	copy_given(body, c->body, "skip_launch");
	copy_given(body, config, "metadata");
	call_request(c, "machine.create", state_text(app, "id"), NULL, body, made);
}

void machines_update(struct call *c)
{
	struct machine_ref m;
	if (!call_machine_changing(c, &m))
		return;
	const char *version = state_text(c->body, "current_version"),
		   *region = state_text(c->body, "region");
	if (*version && !streq(version, state_text(m.desired, "instance_id"))) {
		call_failf(c, ERR_PRECONDITION,
		    "current_version is %.40s, but the machine is at %s", version,
		    state_text(m.desired, "instance_id"));
		return;
	}
	if (*region && !streq(region, state_text(m.desired, "region"))) {
		call_failf(c, ERR_INVALID, "a machine cannot move from region \"%s\" to \"%.40s\"",
		    state_text(m.desired, "region"), region);
		return;
	}
	json_t *config = take_config(c, state_text(m.desired, "app"));
	if (!config)
		return;
	json_t *body = json_pack("{s:O}", "config", config);
	copy_given(body, c->body, "name");
	copy_given(body, c->body, "skip_launch");
	copy_given(body, c->body, "current_version");
	call_request(c, "machine.update", state_text(m.desired, "app"), c->param[1], body, made);
}

/* ---- start, stop, and so on ---- */

static void answer_ok(struct call *c, int status, json_t *result)
{
	call_ok(c);
}

static void ask(struct call *c, const struct machine_ref *m, const char *kind, json_t *body,
    void (*then)(struct call *c, int status, json_t *result))
{
	call_request(c, kind, state_text(m->desired, "app"), c->param[1], body, then);
}

static void started(struct call *c, int status, json_t *result)
{
	call_json(c, 200,
	    json_pack("{s:s, s:b, s:s}", "previous_state", (const char *)c->work, "migrated", 0,
		"new_host", ""));
}

void machines_start(struct call *c)
{
	struct machine_ref m;
	if (!call_machine_changing(c, &m))
		return;
	call_work(c, strdup(machine_shown_state(&m)), free);
	if (!c->work)
		call_failf(c, ERR_NO_MEMORY, "no memory for a request");
	else
		ask(c, &m, "machine.start", json_object(), started);
}

void machines_stop(struct call *c)
{
	struct machine_ref m;
	struct err e;
	int64_t timeout = -1;
	if (!call_machine_changing(c, &m))
		return;
	if (duration_opt_ms(c->body, "", "timeout", &timeout, &e) < 0) {
		call_fail(c, &e);
		return;
	}
	json_t *body = json_object();
	copy_given(body, c->body, "signal");
	if (timeout >= 0)
		json_object_set_new(body, "timeout_ms", json_integer(timeout));
	ask(c, &m, "machine.stop", body, answer_ok);
}

static bool query_signal(struct call *c, const char **ret)
{
	static const char *const known[] = { "SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1",
		"SIGUSR2", "SIGTERM" };
	const char *text = http_query(c->http, "signal");
	if (!text || !*text)
		return true;
	for (size_t i = 0; i < countof(known); i++) {
		if (streq(text, known[i])) {
			*ret = known[i];
			return true;
		}
	}
	call_failf(c, ERR_INVALID,
	    "signal must be SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGUSR1, "
	    "SIGUSR2 or SIGTERM");
	return false;
}

/* A client that restarts and then waits for "started" must not be told of the run before: so the
 * answer comes when the host has begun (its newest event is another one), or is slow about it. */
enum { RESTART_BEGINS_MS = 5 * 1000 };

static const char *newest_event(const struct machine_ref *m)
{
	return state_text(json_array_get(json_object_get(m->observed, "events"), 0), "id");
}

static bool check_restarting(struct call *c)
{
	struct machine_ref m;
	if (state_machine(&c->api->state, c->param[1], &m) && streq(newest_event(&m), c->work))
		return false;
	call_ok(c);
	return true;
}

static void restarted(struct call *c, int status, json_t *result)
{
	call_wait(c, RESTART_BEGINS_MS, check_restarting, call_ok);
}

void machines_restart(struct call *c)
{
	struct machine_ref m;
	int64_t timeout = -1;
	bool force = false;
	const char *signal = NULL;
	if (!call_machine_changing(c, &m) || !query_signal(c, &signal) ||
	    !call_query_ms(c, "timeout", 300 * 1000, &timeout) ||
	    !call_query_bool(c, "force_stop", &force))
		return;
	json_t *body = json_pack("{s:b, s:s*}", "force_stop", force, "signal", signal);
	if (timeout >= 0)
		json_object_set_new(body, "timeout_ms", json_integer(timeout));
	call_work(c, strdup(newest_event(&m)), free);
	if (!c->work) {
		json_decref(body);
		call_failf(c, ERR_NO_MEMORY, "no memory for a request");
		return;
	}
	ask(c, &m, "machine.restart", body, restarted);
}

void machines_delete(struct call *c)
{
	struct machine_ref m;
	bool force = false, kill = false;
	if (!call_machine_changing(c, &m) || !call_query_bool(c, "force", &force) ||
	    !call_query_bool(c, "kill", &kill))
		return;
	ask(c, &m, "machine.destroy", json_pack("{s:b}", "force", force || kill), answer_ok);
}

void machines_suspend(struct call *c)
{
	struct machine_ref m;
	if (call_machine_changing(c, &m))
		call_failf(c, ERR_UNSUPPORTED,
		    "suspending machines is not supported yet; stop it instead");
}

void machines_cordon(struct call *c)
{
	struct machine_ref m;
	if (call_machine_changing(c, &m))
		ask(c, &m, "machine.cordon", json_object(), answer_ok);
}

void machines_uncordon(struct call *c)
{
	struct machine_ref m;
	if (call_machine_changing(c, &m))
		ask(c, &m, "machine.uncordon", json_object(), answer_ok);
}
