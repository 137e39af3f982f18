#include "proto/fly_config.h"
#include "base/str.h"
#include "proto/fly_parse.h"
#include "proto/fly_units.h"

#define TOP_SUPPORTED                                                                              \
	"app primary_region kill_signal kill_timeout experimental build deploy env processes "     \
	"http_service services checks vm compute computes restart files"
#define TOP_LATER                                                                                  \
	"swap_size_mb console_command host_dedication_id machine_config container mounts mount "   \
	"metrics statics machine_checks hsts"

int fly_no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory to read the app's file");
}

int fly_warn(struct fly_parse *p, const struct conf *c, const char *key, const char *text)
{
	struct err sentence;
	conf_fail(c, key, &sentence, ERR_INVALID, "%s", text);
	return json_array_append_new(p->warnings, json_string(sentence.text));
}

static json_t *group_config(const struct fly_parse *p, const char *name)
{
	size_t i;
	json_t *g;
	json_array_foreach (p->groups, i, g)
		if (streq(json_string_value(json_object_get(g, "name")), name))
			return json_object_get(g, "config");
	return NULL;
}

int fly_for_groups(struct fly_parse *p, const struct conf *section, bool must_name,
    int (*fn)(json_t *config, json_t *value), json_t *value, struct err *e)
{
	const json_t *names = NULL;
	int r = conf_strings(section, "processes", FLY_GROUPS_MAX, &names, e);
	if (r < 0)
		return r;
	size_t i;
	json_t *v;
	if (!json_array_size(names)) {
		if (must_name && p->named)
			return conf_fail(section, NULL, e, ERR_INVALID,
			    "must say which `processes` it is for, since the file has [processes]");
		json_array_foreach (p->groups, i, v)
			if (fn(json_object_get(v, "config"), value))
				return fly_no_memory(e);
		return 0;
	}
	json_array_foreach (names, i, v) {
		json_t *config = group_config(p, json_string_value(v));
		if (!config)
			return conf_fail(section, "processes", e, ERR_INVALID,
			    "names \"%.40s\", which is not in [processes]", json_string_value(v));
		if (fn(config, value))
			return fly_no_memory(e);
	}
	return 0;
}

static int add_group(struct fly_parse *p, const char *name, json_t *cmd, struct err *e)
{
	json_t *g =
	    cmd ? json_pack("{s:s, s:{s:{}, s:{s:o}, s:{s:s, s:s}}}", "name", name, "config", "env",
		      "init", "cmd", cmd, "metadata", "fly_platform_version", "v2",
		      "fly_process_group", name)
		: json_pack("{s:s, s:{s:{}, s:{}, s:{s:s, s:s}}}", "name", name, "config", "env",
		      "init", "metadata", "fly_platform_version", "v2", "fly_process_group", name);
	return json_array_append_new(p->groups, g) ? fly_no_memory(e) : 0;
}

static int read_processes(struct fly_parse *p, struct err *e)
{
	struct conf c;
	int r = conf_table(&p->root, "processes", &c, e);
	if (r < 0)
		return r;
	if (json_object_size(c.o) > FLY_GROUPS_MAX)
		return conf_fail(
		    &c, NULL, e, ERR_TOO_LARGE, "has more than %d process groups", FLY_GROUPS_MAX);
	const char *name;
	json_t *v;
	json_object_foreach ((json_t *)c.o, name, v) {
		json_t *cmd = NULL;
		const char *text = NULL;
		if (!str_is_name(name, 63))
			return conf_fail(&c, name, e, ERR_INVALID,
			    "is not a name for a process group: lower-case letters, digits and "
			    "'-'");
		r = conf_str(&c, name, &text, e);
		if (r == 0 && *text)
			r = conf_command(&c, name, &cmd, e);
		if (r == 0)
			r = add_group(p, name, cmd, e);
		if (r < 0)
			return r;
		p->named = true;
	}
	return p->named ? 0 : add_group(p, "app", NULL, e);
}

/* ---- [env] ---- */

static int merge_env(json_t *config, json_t *value)
{
	return json_object_update(json_object_get(config, "env"), value);
}

static int read_env_table(const struct conf *c, json_t *env, struct err *e)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)c->o, key, v) {
		char text[40];
		if (!*key || strchr(key, '='))
			return conf_fail(
			    c, key, e, ERR_INVALID, "is not a name for an environment variable");
		if (str_starts(key, "FLY_") || str_starts(key, "WARD_"))
			return conf_fail(c, key, e, ERR_INVALID,
			    "is reserved: names beginning with FLY_ and WARD_ are set by the "
			    "platform");
		if (json_is_integer(v))
			snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(v));
		else if (json_is_real(v))
			snprintf(text, sizeof(text), "%.15g", json_real_value(v));
		else if (json_is_boolean(v))
			snprintf(text, sizeof(text), "%s", json_is_true(v) ? "true" : "false");
		else if (!json_is_string(v))
			return conf_fail(c, key, e, ERR_INVALID, "must be a string");
		if (json_object_set_new(
			env, key, json_is_string(v) ? json_incref(v) : json_string(text)))
			return fly_no_memory(e);
	}
	return 0;
}

static int read_env(struct fly_parse *p, struct err *e)
{
	size_t n;
	int r = conf_tables(&p->root, "env", FLY_SECTIONS_MAX, &n, e);
	cleanup_json json_t *env = json_object();
	struct conf c = p->root;
	for (size_t i = 0; r == 0 && i < n; i++) {
		conf_table_at(&p->root, "env", i, &c);
		r = read_env_table(&c, env, e);
	}
	struct conf everyone = { .doc = p->root.doc };
	return r == 0 ? fly_for_groups(p, &everyone, false, merge_env, env, e) : r;
}

/* ---- [build], [deploy], [experimental], the stop settings ---- */

static int read_build(struct fly_parse *p, struct fly_config *out, struct err *e)
{
	static const char later[] =
	    "builder buildpacks dockerfile ignorefile build-target build_target args settings "
	    "builtin compose compression compression_level";
	struct conf c;
	const char *image = NULL;
	int r = conf_table(&p->root, "build", &c, e);
	if (r == 0)
		r = conf_known(&c,
		    "image builder buildpacks dockerfile ignorefile build-target build_target args "
		    "settings builtin compose compression compression_level",
		    e);
	if (r == 0 && (r = conf_unsupported(&c, later, e)) < 0)
		err_next(e, "build the image yourself (docker, buildah, nix, ...), then `ward "
			    "deploy --image FILE`");
	if (r == 0)
		r = conf_str(&c, "image", &image, e);
	if (r == 0 && image && (!*image || !str_copy(out->image, sizeof(out->image), image)))
		r = conf_fail(&c, "image", e, ERR_INVALID,
		    "must be a registry reference of at most %zu bytes", sizeof(out->image) - 1);
	return r;
}

static int read_deploy(struct fly_parse *p, struct fly_config *out, struct err *e)
{
	static const char *const strategies[] = { "rolling", "immediate", "canary", "bluegreen" };
	struct conf c;
	unsigned strategy = 0;
	int r = conf_table(&p->root, "deploy", &c, e);
	if (r == 0)
		r = conf_known(&c,
		    "strategy wait_timeout max_unavailable release_command release_command_timeout "
		    "release_command_vm seed_command",
		    e);
	if (r == 0)
		r = conf_unsupported(&c,
		    "max_unavailable release_command release_command_timeout release_command_vm "
		    "seed_command",
		    e);
	if (r == 0)
		r = conf_word(&c, "strategy", "rolling immediate canary bluegreen", &strategy, e);
	if (r == 0 && strategy > 1)
		r = conf_fail(&c, "strategy", e, ERR_UNSUPPORTED,
		    "\"%s\" is not supported yet; \"rolling\" and \"immediate\" are",
		    strategies[strategy]);
	if (r == 0)
		r = conf_duration(&c, "wait_timeout", 1000, &out->wait_timeout_ms, e);
	if (r == 0 && (out->wait_timeout_ms < 1000 || out->wait_timeout_ms > 3600000))
		r = conf_fail(&c, "wait_timeout", e, ERR_INVALID, "must be between 1s and 1h");
	if (r == 0)
		str_copy(out->strategy, sizeof(out->strategy), strategies[strategy]);
	return r;
}

static int merge_init(json_t *config, json_t *value)
{
	return json_object_update_missing(
	    json_object_get(config, "init"), value); /* a group's own command goes first */
}

static int read_experimental(struct fly_parse *p, struct err *e)
{
	struct conf c;
	bool rollback = true;
	cleanup_json json_t *init = json_object();
	int r = conf_table(&p->root, "experimental", &c, e);
	if (r == 0)
		r = conf_known(&c,
		    "cmd entrypoint exec auto_rollback enable_consul enable_etcd lazy_load_images "
		    "machine_config attached",
		    e);
	if (r == 0)
		r = conf_unsupported(
		    &c, "enable_consul enable_etcd lazy_load_images machine_config attached", e);
	if (r == 0)
		r = conf_bool(&c, "auto_rollback", &rollback, e);
	if (r == 0 && !rollback)
		r = conf_fail(&c, "auto_rollback", e, ERR_UNSUPPORTED,
		    "= false is not supported yet: a failed deploy is always put back");
	static const char *const commands[] = { "cmd", "entrypoint", "exec" };
	for (size_t i = 0; r == 0 && i < countof(commands); i++) {
		json_t *words = NULL;
		r = conf_command(&c, commands[i], &words, e);
		if (r == 0 && words && json_object_set_new(init, commands[i], words))
			r = fly_no_memory(e);
	}
	struct conf everyone = { .doc = p->root.doc };
	return r == 0 ? fly_for_groups(p, &everyone, false, merge_init, init, e) : r;
}

static int set_stop(json_t *config, json_t *value)
{
	return json_object_size(value) ? json_object_set(config, "stop_config", value) : 0;
}

static int read_stop(struct fly_parse *p, struct err *e)
{
	static const char *const signals[] = { "SIGINT", "SIGTERM", "SIGQUIT", "SIGUSR1", "SIGUSR2",
		"SIGKILL", "SIGSTOP" };
	unsigned sig = 0;
	int64_t ms = -1;
	int r = conf_word(&p->root, "kill_signal",
	    "SIGINT SIGTERM SIGQUIT SIGUSR1 SIGUSR2 SIGKILL SIGSTOP", &sig, e);
	if (r == 0)
		r = conf_duration(&p->root, "kill_timeout", 1000, &ms, e);
	if (r == 0 && ms > 300000)
		r = conf_fail(&p->root, "kill_timeout", e, ERR_INVALID, "must be at most 300s");
	cleanup_json json_t *stop = json_object();
	char text[24];
	if (r == 0 && conf_has(&p->root, "kill_signal") &&
	    json_object_set_new(stop, "signal", json_string(signals[sig])))
		r = fly_no_memory(e);
	if (r == 0 && ms >= 0) {
		fly_duration_format(text, ms);
		if (json_object_set_new(stop, "timeout", json_string(text)))
			r = fly_no_memory(e);
	}
	struct conf everyone = { .doc = p->root.doc };
	return r == 0 ? fly_for_groups(p, &everyone, false, set_stop, stop, e) : r;
}

static int read_names(struct fly_parse *p, struct fly_config *out, struct err *e)
{
	const char *app = NULL, *region = NULL;
	int r = conf_str(&p->root, "app", &app, e);
	if (r == 0)
		r = conf_str(&p->root, "primary_region", &region, e);
	if (r < 0)
		return r;
	if (app && (!str_is_name(app, 63) || !str_copy(out->app, sizeof(out->app), app)))
		return conf_fail(&p->root, "app", e, ERR_INVALID,
		    "must be a name of lower-case letters, digits and '-'");
	if (region && (!str_is_name(region, 31) ||
			  !str_copy(out->primary_region, sizeof(out->primary_region), region)))
		return conf_fail(&p->root, "primary_region", e, ERR_INVALID,
		    "must be a region's name: lower-case letters, digits and '-'");
	return 0;
}

/* What flyctl adds to each group's environment. */
static int add_platform_env(struct fly_parse *p, const struct fly_config *out, struct err *e)
{
	size_t i;
	json_t *g;
	json_array_foreach (p->groups, i, g) {
		json_t *config = json_object_get(g, "config"),
		       *env = json_object_get(config, "env");
		if (json_object_set(env, "FLY_PROCESS_GROUP", json_object_get(g, "name")) ||
		    (*out->primary_region && json_object_set_new(env, "PRIMARY_REGION",
						 json_string(out->primary_region))))
			return fly_no_memory(e);
		if (!json_object_size(json_object_get(config, "init")))
			json_object_del(config, "init");
	}
	return 0;
}

static int read_all(struct fly_parse *p, struct fly_config *out, struct err *e)
{
	int r = conf_known(&p->root, TOP_SUPPORTED " " TOP_LATER, e);
	if (r == 0)
		r = conf_unsupported(&p->root, TOP_LATER, e);
	if (r == 0)
		r = read_names(p, out, e);
	if (r == 0)
		r = read_processes(p, e);
	if (r == 0)
		r = read_env(p, e);
	if (r == 0)
		r = read_build(p, out, e);
	if (r == 0)
		r = read_deploy(p, out, e);
	if (r == 0)
		r = read_experimental(p, e);
	if (r == 0)
		r = read_stop(p, e);
	if (r == 0)
		r = fly_read_services(p, e);
	if (r == 0)
		r = fly_read_checks(p, e);
	if (r == 0)
		r = fly_read_machines(p, e);
	return r == 0 ? add_platform_env(p, out, e) : r;
}

int fly_config_parse(const char *text, size_t len, const struct fly_files *files,
    struct fly_config *ret, struct err *e)
{
	cleanup_toml struct toml doc = { 0 };
	int r = toml_parse(text, len, &doc, e);
	if (r < 0)
		return r;
	cleanup_fly_config struct fly_config out = { .strategy = "rolling",
		.wait_timeout_ms = 300000,
		.groups = json_array(),
		.warnings = json_array() };
	struct fly_parse p = { .groups = out.groups, .warnings = out.warnings, .files = files };
	if (!out.groups || !out.warnings)
		return fly_no_memory(e);
	conf_root(&p.root, &doc);
	r = read_all(&p, &out, e);
	if (r < 0)
		return r;
	*ret = out;
	out.groups = out.warnings = NULL;
	return 0;
}

void fly_config_done(struct fly_config *c)
{
	json_decref(c->groups);
	json_decref(c->warnings);
	c->groups = c->warnings = NULL;
}

int fly_config_deploy_body(
    const struct fly_config *c, const char *image, json_t **ret, struct err *e)
{
	cleanup_json json_t *groups = json_deep_copy(c->groups);
	size_t i;
	json_t *g;
	json_array_foreach (groups, i, g)
		if (json_object_set_new(json_object_get(g, "config"), "image", json_string(image)))
			return fly_no_memory(e);
	json_t *body = json_pack("{s:s, s:I, s:O}", "strategy", c->strategy, "wait_timeout_ms",
	    (json_int_t)c->wait_timeout_ms, "groups", groups);
	if (!body)
		return fly_no_memory(e);
	*ret = body;
	return 0;
}
