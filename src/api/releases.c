#include "api/deploys.h"
#include "api/handlers.h"
#include "base/str.h"

static json_t *show_groups(const json_t *release)
{
	json_t *list = json_array(), *g;
	size_t i;
	json_array_foreach (json_object_get(release, "groups"), i, g) {
		json_array_append_new(
		    list, json_pack("{s:s, s:I}", "name", state_text(g, "name"), "count",
			      json_integer_value(json_object_get(g, "count"))));
	}
	return list;
}

static json_t *show_release(const json_t *r)
{
	return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "version",
	    json_integer_value(json_object_get(r, "version")), "status", state_text(r, "status"),
	    "reason", state_text(r, "reason"), "deploy", state_text(r, "deploy"), "message",
	    state_text(r, "message"), "actor", state_text(r, "actor"), "image",
	    state_text(r, "image"), "created_at", state_text(r, "created_at"), "groups",
	    show_groups(r));
}

static int add_release(void *arg, const char *rest, json_t *value)
{
	json_array_insert_new(arg, 0, show_release(value));
	return 0;
}

void releases_list(struct call *c)
{
	char prefix[64];
	json_t *app = call_app(c);
	if (!app)
		return;
	json_t *list = json_array();
	snprintf(prefix, sizeof(prefix), "%s/releases/", state_text(app, "id"));
	state_each(&c->api->state, VIEW_APPS, prefix, add_release, list);
	call_json(c, 200, json_pack("{s:o}", "releases", list));
}

void releases_rollback(struct call *c)
{
	json_t *app = call_app(c);
	if (app)
		deploy_request(c, "release.rollback", app, json_incref(c->body));
}

/* ---- scale ---- */

static int count_group(void *arg, const struct machine_ref *m)
{
	const char *group = state_text(m->desired, "group");
	if (streq(state_text(m->desired, "want"), "destroyed"))
		return 0;
	json_int_t n = json_integer_value(json_object_get(arg, group));
	json_object_set_new(arg, group, json_integer(n + 1));
	return 0;
}

void scale_show(struct call *c)
{
	json_t *app = call_app(c);
	if (!app)
		return;
	cleanup_json json_t *counts = json_object();
	json_t *groups = json_array(), *n;
	const char *name;
	state_each_machine(&c->api->state, state_text(app, "id"), count_group, counts);
	json_object_foreach (counts, name, n) {
		json_array_append_new(groups, json_pack("{s:s, s:O}", "name", name, "count", n));
	}
	call_json(c, 200, json_pack("{s:o}", "groups", groups));
}

void scale_set(struct call *c)
{
	json_t *app = call_app(c);
	if (!app)
		return;
	const char *group = state_text(c->body, "group");
	deploy_request(c, "scale", app,
	    json_pack("{s:s, s:O}", "group", *group ? group : "app", "count",
		json_object_get(c->body, "count")));
}
