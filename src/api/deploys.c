#include "api/deploys.h"
#include "api/handlers.h"
#include "api/request.h"
#include "api/seal.h"
#include "base/str.h"

/* ---- start one ---- */

static void begun(struct call *c, int status, json_t *result)
{
	call_json(c, 202,
	    json_pack("{s:s, s:I, s:s}", "id", state_text(result, "deploy"), "release",
		json_integer_value(json_object_get(result, "release")), "status", "running"));
}

void deploy_request(struct call *c, const char *kind, const json_t *app, json_t *body)
{
	call_request(c, kind, state_text(app, "id"), NULL, body, begun);
}

static bool groups_are_distinct(struct call *c, const json_t *groups)
{
	size_t i;
	json_t *g;
	cleanup_json json_t *seen = json_object();
	json_array_foreach (groups, i, g) {
		const char *name = state_text(g, "name");
		if (json_object_get(seen, name)) {
			call_failf(
			    c, ERR_INVALID, "groups.%zu.name \"%s\" is there twice", i, name);
			return false;
		}
		json_object_set_new(seen, name, json_true());
	}
	return true;
}

void deploys_create(struct call *c)
{
	struct err e;
	json_t *app = call_app(c), *g;
	if (!app)
		return;
	json_t *groups = json_object_get(c->body, "groups");
	if (!groups_are_distinct(c, groups))
		return;
	size_t i;
	json_array_foreach (groups, i, g) {
		if (config_seal(c->api->places.run, state_text(app, "id"),
			json_object_get(g, "config"), &e) < 0) {
			call_fail(c, &e);
			return;
		}
	}
	deploy_request(c, "deploy.create", app, json_incref(c->body));
}

/* ---- look at them ---- */

static int add_event(void *arg, const char *rest, json_t *value)
{
	json_array_append_new(arg, deploy_event_show(value));
	return 0;
}

json_t *deploy_event_show(const json_t *event)
{
	static const char *const members[] = { "n", "at", "type", "machine", "step", "message",
		"status" };
	json_t *shown = json_object();
	for (size_t i = 0; shown && i < countof(members); i++) {
		json_t *v = json_object_get(event, members[i]);
		if (v && !json_is_null(v))
			json_object_set(shown, members[i], v);
	}
	return shown;
}

static json_t *show_machines(const json_t *deploy)
{
	json_t *list = json_array(), *item;
	size_t i;
	json_array_foreach (json_object_get(deploy, "items"), i, item) {
		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:s}", "machine", state_text(item, "machine"), "action",
			state_text(item, "action"), "step", state_text(item, "step")));
	}
	return list;
}

static json_t *show_deploy(const json_t *deploy)
{
	return json_pack("{s:s, s:I, s:s, s:s, s:o}", "id", state_text(deploy, "id"), "release",
	    json_integer_value(json_object_get(deploy, "release")), "status",
	    state_text(deploy, "status"), "reason", state_text(deploy, "reason"), "machines",
	    show_machines(deploy));
}

static int add_deploy(void *arg, const char *rest, json_t *value)
{
	if (!strchr(rest, '/'))
		json_array_insert_new(arg, 0, show_deploy(value));
	return 0;
}

void deploys_list(struct call *c)
{
	char prefix[64];
	json_t *app = call_app(c);
	if (!app)
		return;
	json_t *list = json_array();
	snprintf(prefix, sizeof(prefix), "%s/deploys/", state_text(app, "id"));
	state_each(&c->api->state, VIEW_APPS, prefix, add_deploy, list);
	call_json(c, 200, json_pack("{s:o}", "deploys", list));
}

json_t *deploy_find(struct call *c, const json_t *app)
{
	json_t *deploy = state_get(
	    &c->api->state, VIEW_APPS, "%s/deploys/%s", state_text(app, "id"), c->param[1]);
	if (!deploy)
		call_failf(c, ERR_NOT_FOUND, "deploy %.40s was not found in app \"%s\"",
		    c->param[1], c->param[0]);
	return deploy;
}

void deploys_show(struct call *c)
{
	bool follow = false;
	json_t *app = call_app(c);
	if (!app || !call_query_bool(c, "follow", &follow))
		return;
	if (follow) {
		deploys_follow(c);
		return;
	}
	json_t *deploy = deploy_find(c, app);
	if (!deploy)
		return;
	char prefix[256];
	json_t *shown = show_deploy(deploy), *events = json_array();
	snprintf(
	    prefix, sizeof(prefix), "%s/deploy-events/%s/", state_text(app, "id"), c->param[1]);
	state_each(&c->api->state, VIEW_APPS, prefix, add_event, events);
	json_object_set_new(shown, "events", events);
	call_json(c, 200, shown);
}
