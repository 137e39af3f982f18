#include "api/handlers.h"
#include "api/machine_show.h"
#include "base/str.h"

/* GET .../wait: answers when the machine is in one of the states asked for, in the version asked
 * for, after the event asked for; or with 408. */

enum { STATES_MAX = 8, WAIT_MAX_S = 60 };

struct wait {
	char state[STATES_MAX][16];
	size_t nstates;
	char instance[ULID_LEN + 1], from_event[ULID_LEN + 1];
};

static const char *newest_event(const struct machine_ref *m)
{
	return state_text(json_array_get(json_object_get(m->observed, "events"), 0), "id");
}

static bool check(struct call *c)
{
	const struct wait *w = c->work;
	struct machine_ref m;
	if (!state_machine(&c->api->state, c->param[1], &m)) {
		/* It was there when we began: its records are gone only after it was destroyed. */
		for (size_t i = 0; i < w->nstates; i++) {
			if (streq(w->state[i], "destroyed") || streq(w->state[i], "settled")) {
				call_json(c, 200,
				    json_pack("{s:b, s:s, s:s, s:s}", "ok", 1, "state", "destroyed",
					"event_id", "", "version", w->instance));
				return true;
			}
		}
		return false;
	}
	if (w->from_event[0] && strcmp(newest_event(&m), w->from_event) <= 0)
		return false;
	for (size_t i = 0; i < w->nstates; i++) {
		if (!machine_is_at(&m, w->state[i], w->instance))
			continue;
		call_json(c, 200,
		    json_pack("{s:b, s:s, s:s, s:s}", "ok", 1, "state", machine_shown_state(&m),
			"event_id", newest_event(&m), "version",
			state_text(m.desired, "instance_id")));
		return true;
	}
	return false;
}

static void late(struct call *c)
{
	const struct wait *w = c->work;
	struct machine_ref m;
	bool there = state_machine(&c->api->state, c->param[1], &m);
	call_failf(c, ERR_TIMEOUT,
	    "deadline_exceeded: machine %s did not reach the state \"%s\" in time; it is "
	    "\"%s\"%s%.160s",
	    c->param[1], w->state[0], there ? machine_shown_state(&m) : "destroyed",
	    there && *state_text(m.observed, "reason") ? ": " : "",
	    there ? state_text(m.observed, "reason") : "");
}

static bool add_state(struct call *c, struct wait *w, const char *s, size_t n)
{
	static const char *const known[] = { "started", "stopped", "suspended", "destroyed",
		"failed", "settled", "created" };
	for (size_t i = 0; i < countof(known); i++) {
		if (strlen(known[i]) != n || memcmp(known[i], s, n) != 0)
			continue;
		if (w->nstates < STATES_MAX)
			str_copy(w->state[w->nstates++], sizeof(w->state[0]), known[i]);
		return true;
	}
	call_failf(c, ERR_INVALID,
	    "state must be one of started, stopped, suspended, destroyed, failed, settled, "
	    "created; not "
	    "\"%.*s\"",
	    (int)MIN(n, (size_t)40), s);
	return false;
}

static bool read_states(struct call *c, struct wait *w)
{
	const char *text;
	for (size_t i = 0; (text = http_query_nth(c->http, "state", i)); i++)
		for (const char *p = text; *p; p += strcspn(p, ","), p += *p == ',')
			if (!add_state(c, w, p, strcspn(p, ",")))
				return false;
	return w->nstates > 0 || add_state(c, w, "started", strlen("started"));
}

static bool read_ids(struct call *c, struct wait *w)
{
	const char *instance = http_query(c->http, "instance_id"),
		   *from = http_query(c->http, "from_event_id");
	if (!instance)
		instance = http_query(c->http, "version");
	if ((instance && !str_copy(w->instance, sizeof(w->instance), instance)) ||
	    (from && !str_copy(w->from_event, sizeof(w->from_event), from))) {
		call_failf(
		    c, ERR_INVALID, "instance_id and from_event_id have 26 letters and digits");
		return false;
	}
	return true;
}

void machines_wait(struct call *c)
{
	struct machine_ref m;
	int64_t ms = WAIT_MAX_S * 1000;
	if (!call_machine(c, &m))
		return;
	struct wait *w = calloc(1, sizeof(*w));
	if (!w) {
		call_failf(c, ERR_NO_MEMORY, "no memory to wait");
		return;
	}
	call_work(c, w, free);
	if (read_states(c, w) && read_ids(c, w) &&
	    call_query_ms(c, "timeout", WAIT_MAX_S * 1000, &ms))
		call_wait(c, (uint64_t)ms, check, late);
}
