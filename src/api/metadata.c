#include "api/handlers.h"
#include "api/request.h"
#include "api/schemas.h"
#include "base/str.h"

/* A machine's metadata: its own small map, changed without making a new version. */

static json_t *metadata_of(const struct machine_ref *m)
{
	return json_object_get(m->desired, "metadata");
}

static void done(struct call *c, int status, json_t *result)
{
	http_answer_empty(c->http, 204);
}

static void change(struct call *c, const struct machine_ref *m, json_t *body)
{
	call_request(c, "machine.metadata", state_text(m->desired, "app"), c->param[1], body, done);
}

void metadata_show(struct call *c)
{
	struct machine_ref m;
	if (!call_machine(c, &m))
		return;
	json_t *all = metadata_of(&m);
	call_json(c, 200, all ? json_incref(all) : json_object());
}

/* PUT replaces all of it, PATCH sets the keys named; both only if the machine is still at the
 * version given. */
void metadata_update(struct call *c)
{
	struct machine_ref m;
	if (!call_machine_changing(c, &m))
		return;
	const char *version = state_text(c->body, "machine_version");
	if (*version && !streq(version, state_text(m.desired, "instance_id"))) {
		call_failf(c, ERR_PRECONDITION,
		    "machine_version is %.40s, but the machine is at %s", version,
		    state_text(m.desired, "instance_id"));
		return;
	}
	const char *member = streq(http_method(c->http), "PUT") ? "replace" : "set";
	change(c, &m, json_pack("{s:O}", member, json_object_get(c->body, "metadata")));
}

static bool key_is_good(struct call *c)
{
	if (is_metadata_key(c->param[2]))
		return true;
	call_failf(c, ERR_INVALID,
	    "a metadata key must be 1 to 64 letters, digits, dots, dashes or underscores");
	return false;
}

void metadata_key_show(struct call *c)
{
	struct machine_ref m;
	if (!call_machine(c, &m) || !key_is_good(c))
		return;
	json_t *value = json_object_get(metadata_of(&m), c->param[2]);
	if (value)
		call_json(c, 200, json_pack("{s:O}", "value", value));
	else
		call_failf(c, ERR_NOT_FOUND, "the machine has no metadata \"%s\"", c->param[2]);
}

void metadata_key_set(struct call *c)
{
	struct machine_ref m;
	if (call_machine_changing(c, &m) && key_is_good(c))
		change(c, &m,
		    json_pack("{s:{s:O}}", "set", c->param[2], json_object_get(c->body, "value")));
}

void metadata_key_delete(struct call *c)
{
	struct machine_ref m;
	if (call_machine_changing(c, &m) && key_is_good(c))
		change(c, &m, json_pack("{s:[s]}", "delete", c->param[2]));
}
