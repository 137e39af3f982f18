#include "api/handlers.h"
#include "api/request.h"
#include "base/str.h"
#include "http/url.h"

/* A number that stays the same for an id, for clients that want one. */
static json_int_t numeric_id(const char *id)
{
	unsigned char hash[8];
	crypto_generichash(hash, sizeof(hash), (const unsigned char *)id, strlen(id), NULL, 0);
	json_int_t n = 0;
	for (int i = 0; i < 4; i++)
		n = n << 8 | hash[i];
	return n & 0x7fffffff;
}

static int count_machine(void *arg, const struct machine_ref *m)
{
	if (!streq(state_text(m->desired, "want"), "destroyed"))
		++*(json_int_t *)arg;
	return 0;
}

static json_t *show_app(struct call *c, const json_t *app)
{
	const char *id = state_text(app, "id"), *org = state_text(app, "org");
	json_int_t machines = 0;
	state_each_machine(&c->api->state, id, count_machine, &machines);
	return json_pack("{s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:s, s:{s:s, s:s, s:I}}", "id", id,
	    "name", state_text(app, "name"), "internal_numeric_id", numeric_id(id), "network",
	    state_text(app, "network"), "status", state_text(app, "status"), "machine_count",
	    machines, "volume_count", (json_int_t)0, "created_at", state_text(app, "created_at"),
	    "organization", "name", org, "slug", org, "internal_numeric_id", numeric_id(org));
}

struct listing {
	struct call *c;
	json_t *apps;
	const char *org;
};

static int add_app(void *arg, const char *rest, json_t *value)
{
	struct listing *l = arg;
	const char *slash = strchr(rest, '/');
	if (!slash || !streq(slash, "/app") || streq(state_text(value, "status"), "deleting"))
		return 0;
	if (!l->org || !*l->org || streq(l->org, state_text(value, "org")))
		json_array_append_new(l->apps, show_app(l->c, value));
	return 0;
}

void apps_list(struct call *c)
{
	struct listing l = { c, json_array(), http_query(c->http, "org_slug") };
	state_each(&c->api->state, VIEW_APPS, "", add_app, &l);
	json_int_t n = (json_int_t)json_array_size(l.apps);
	call_json(c, 200, json_pack("{s:o, s:I}", "apps", l.apps, "total_apps", n));
}

void apps_show(struct call *c)
{
	json_t *app = call_app(c);
	if (app)
		call_json(c, 200, show_app(c, app));
}

/* ---- make and remove ---- */

static void created(struct call *c, int status, json_t *result)
{
	call_json(c, 201, show_app(c, result));
}

void apps_create(struct call *c)
{
	const char *name = state_text(c->body, "name"), *alias = state_text(c->body, "app_name"),
		   *org = state_text(c->body, "org_slug"),
		   *network = state_text(c->body, "network");
	if (*name && *alias && !streq(name, alias)) {
		call_failf(c, ERR_INVALID, "name and app_name must not differ");
		return;
	}
	if (!*name)
		name = alias;
	if (!*name) {
		call_failf(c, ERR_INVALID, "name is missing");
		return;
	}
	if (state_app(&c->api->state, name)) {
		call_failf(c, ERR_NAME_TAKEN, "Validation failed: Name has already been taken");
		return;
	}
	call_request(c, "app.create", NULL, NULL,
	    json_pack("{s:s, s:s, s:s*}", "name", name, "org", *org ? org : "personal", "network",
		*network ? network : NULL),
	    created);
}

static void deleted(struct call *c, int status, json_t *result)
{
	call_json(c, 202, json_object());
}

void apps_delete(struct call *c)
{
	json_t *app = call_app(c);
	if (app)
		call_request(c, "app.delete", state_text(app, "id"), NULL, json_object(), deleted);
}
