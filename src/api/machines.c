#include "api/handlers.h"
#include "api/machine_show.h"
#include "base/str.h"

/* ---- list ---- */

struct filter {
	struct call *c;
	json_t *list;
	const char *region;
	bool include_deleted, summary;
};

/* "started,stopped", and the parameter may come several times. */
static bool state_is_asked(struct call *c, const char *state)
{
	const char *text;
	size_t n = strlen(state);
	bool any = false;
	for (size_t i = 0; (text = http_query_nth(c->http, "state", i)); i++) {
		for (const char *p = text; *p; p += strcspn(p, ","), p += *p == ',') {
			any = true;
			if (strcspn(p, ",") == n && !memcmp(p, state, n))
				return true;
		}
	}
	return !any;
}

/* metadata.KEY=VALUE, all of them */
static bool metadata_fits(struct call *c, const struct machine_ref *m)
{
	const char *key, *value;
	for (size_t i = 0; http_query_at(c->http, i, &key, &value); i++) {
		if (!str_starts(key, "metadata."))
			continue;
		const json_t *all = json_object_get(m->desired, "metadata");
		if (!streq(state_text(all, key + strlen("metadata.")), value))
			return false;
	}
	return true;
}

static int add_machine(void *arg, const struct machine_ref *m)
{
	struct filter *f = arg;
	const char *state = machine_shown_state(m);
	if (!f->include_deleted && streq(state, "destroyed"))
		return 0;
	if (f->region && *f->region && !streq(f->region, state_text(m->desired, "region")))
		return 0;
	if (!state_is_asked(f->c, state) || !metadata_fits(f->c, m))
		return 0;
	json_array_append_new(
	    f->list, machine_show(f->c, m, f->summary ? MACHINE_SUMMARY : MACHINE_WHOLE));
	return 0;
}

void machines_list(struct call *c)
{
	struct filter f = { .c = c, .region = http_query(c->http, "region") };
	json_t *app = call_app(c);
	if (!app || !call_query_bool(c, "include_deleted", &f.include_deleted) ||
	    !call_query_bool(c, "summary", &f.summary))
		return;
	f.list = json_array();
	state_each_machine(&c->api->state, state_text(app, "id"), add_machine, &f);
	call_json(c, 200, f.list);
}

/* ---- one ---- */

void machines_show(struct call *c)
{
	struct machine_ref m;
	if (call_machine(c, &m))
		call_json(c, 200, machine_show(c, &m, MACHINE_WHOLE));
}

void machines_events(struct call *c)
{
	struct machine_ref m;
	int64_t limit = 50;
	if (!call_machine(c, &m) || !call_query_int(c, "limit", 1, 50, &limit))
		return;
	json_t *list = json_array(), *event;
	size_t i;
	json_array_foreach (json_object_get(m.observed, "events"), i, event) {
		if ((int64_t)i < limit)
			json_array_append(list, event);
	}
	call_json(c, 200, list);
}

/* The present version, and the one before it while a deploy may still put it back: older ones are
 * in the app's releases. */
void machines_versions(struct call *c)
{
	struct machine_ref m;
	if (!call_machine(c, &m))
		return;
	json_t *shown = machine_show(c, &m, MACHINE_WHOLE), *list = json_array();
	json_array_append_new(
	    list, json_pack("{s:s, s:O}", "version", state_text(m.desired, "instance_id"),
		      "user_config", json_object_get(shown, "config")));
	json_decref(shown);
	const json_t *old = json_object_get(m.desired, "old");
	if (json_object_get(old, "config")) {
		struct machine_ref before = m;
		json_t *was = json_deep_copy(m.desired);
		json_object_set(was, "config", json_object_get(old, "config"));
		before.desired = was;
		json_t *then = machine_show(c, &before, MACHINE_WHOLE);
		json_array_append_new(
		    list, json_pack("{s:s, s:O}", "version", state_text(old, "instance_id"),
			      "user_config", json_object_get(then, "config")));
		json_decref(then);
		json_decref(was);
	}
	call_json(c, 200, list);
}
