#include "api/machine_show.h"
#include "api/seal.h"
#include "base/str.h"

/* ---- state ---- */

static bool is_of_run(const char *state)
{
	return streq(state, "started") || streq(state, "starting") || streq(state, "restarting");
}

const char *machine_shown_state(const struct machine_ref *m)
{
	const char *want = state_text(m->desired, "want"),
		   *state = m->observed ? state_text(m->observed, "state") : "created";
	if (streq(want, "destroyed"))
		return streq(state, "destroyed") ? state : "destroying";
	/* A new version that its host has not begun: the old one may still run meanwhile. */
	const char *instance = state_text(m->desired, "instance_id");
	if (m->observed && streq(want, "started") && streq(state, "started") &&
	    !streq(state_text(m->observed, "instance_id"), instance) &&
	    !streq(state_text(m->observed, "failed_instance"), instance))
		return "updating";
	return state;
}

static bool is_settled(const char *state)
{
	static const char *const settled[] = { "created", "started", "stopped", "suspended",
		"failed", "destroyed" };
	for (size_t i = 0; i < countof(settled); i++)
		if (streq(settled[i], state))
			return true;
	return false;
}

bool machine_is_at(const struct machine_ref *m, const char *state, const char *instance)
{
	const char *now = machine_shown_state(m);
	if (streq(state, "settled") ? !is_settled(now) : !streq(state, now))
		return false;
	const char *of_run = m->observed ? state_text(m->observed, "instance_id") : "";
	if (!*instance || streq(instance, of_run))
		return true;
	/* A machine that does not run is in that state in its newest version as well. */
	return !is_of_run(now) && streq(instance, state_text(m->desired, "instance_id"));
}

/* ---- parts ---- */

json_t *image_ref_show(const char *image, const char *digest)
{
	char registry[128] = "", repository[400] = "", tag[160] = "", pinned[80] = "";
	const char *name = str_starts(image, "docker://") ? image + strlen("docker://") : image;
	if (str_starts(name, "sha256:")) {
		str_copy(pinned, sizeof(pinned), name);
	} else {
		const char *slash = strchr(name, '/'), *at = strchr(name, '@');
		size_t first = slash ? (size_t)(slash - name) : 0;
		/* The first segment is a host when it looks like one. */
		if (slash && (memchr(name, '.', first) || memchr(name, ':', first) ||
				 (first == 9 && !memcmp(name, "localhost", 9)))) {
			snprintf(
			    registry, sizeof(registry), "%.*s", (int)MIN(first, (size_t)120), name);
			name = slash + 1;
		} else {
			str_copy(registry, sizeof(registry), "docker.io");
		}
		const char *end = at ? at : name + strlen(name), *colon = NULL;
		for (const char *p = name; p < end; p++)
			if (*p == ':')
				colon = p;
		snprintf(repository, sizeof(repository), "%.*s",
		    (int)((colon ? colon : end) - name), name);
		if (colon)
			snprintf(
			    tag, sizeof(tag), "%.*s", (int)MIN(end - colon - 1, 150), colon + 1);
		else if (!at)
			str_copy(tag, sizeof(tag), "latest");
		if (at)
			str_copy(pinned, sizeof(pinned), at + 1);
	}
	if (digest && *digest)
		snprintf(pinned, sizeof(pinned), "sha256:%.64s",
		    str_starts(digest, "sha256:") ? digest + 7 : digest);
	return json_pack("{s:s, s:s, s:s, s:s, s:{}}", "registry", registry, "repository",
	    repository, "tag", tag, "digest", pinned, "labels");
}

static json_t *show_config(struct call *c, const struct machine_ref *m, enum machine_detail detail)
{
	const json_t *config = json_object_get(m->desired, "config");
	json_t *shown;
	if (detail == MACHINE_SUMMARY) {
		shown = config_without_secrets(config);
	} else {
		unsigned left_out = 0;
		shown = config_unseal(
		    c->api->places.run, state_text(m->desired, "app"), config, &left_out);
		if (left_out)
			call_warn(
			    c, "sealed values were left out: the vault could not open them now");
	}
	json_t *metadata = json_object_get(m->desired, "metadata");
	if (json_object_size(metadata) > 0)
		json_object_set(shown, "metadata", metadata);
	return shown;
}

static json_t *list_of(const json_t *record, const char *key)
{
	json_t *list = json_object_get(record, key);
	return json_is_array(list) ? json_incref(list) : json_array();
}

/* Results of another version's checks say nothing about this one. */
static json_t *show_checks(const struct machine_ref *m)
{
	if (!m->checks || !m->observed ||
	    !streq(state_text(m->checks, "instance_id"), state_text(m->observed, "instance_id")))
		return json_array();
	return list_of(m->checks, "checks");
}

json_t *machine_show(struct call *c, const struct machine_ref *m, enum machine_detail detail)
{
	const json_t *d = m->desired, *o = m->observed;
	const char *changed = state_text(o, "updated_at");
	if (strcmp(changed, state_text(d, "updated_at")) < 0)
		changed = state_text(d, "updated_at");
	return json_pack(
	    "{s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:o, s:o, s:o, s:o, s:s, s:b, s:s, s:s, s:I, s:s}",
	    "id", state_text(d, "id"), "name", state_text(d, "name"), "state",
	    machine_shown_state(m), "region", state_text(d, "region"), "instance_id",
	    state_text(d, "instance_id"), "version",
	    json_integer_value(json_object_get(d, "version")), "private_ip",
	    state_text(o, "private_ip"), "config", show_config(c, m, detail), "image_ref",
	    image_ref_show(state_text(json_object_get(d, "config"), "image"),
		state_text(json_object_get(o, "image"), "digest")),
	    "events", list_of(o, "events"), "checks", show_checks(m), "host_status",
	    m->alive ? "ok" : "unreachable", "cordoned",
	    json_is_true(json_object_get(d, "cordoned")), "created_at", state_text(d, "created_at"),
	    "updated_at", changed, "restarts", json_integer_value(json_object_get(o, "restarts")),
	    "reason", state_text(o, "reason"));
}
