/* Making a machine by hand, and giving one another config. */
#include "base/file.h"
#include "cli/api.h"
#include "cli/app.h"
#include "cli/out.h"
#include "cli/upload.h"
#include "proto/fly_units.h"
#include <fcntl.h>

static int set_new(json_t *o, const char *key, json_t *value, struct err *e)
{
	return json_object_set_new(o, key, value)
		   ? err_set(e, ERR_NO_MEMORY, "no memory for a request")
		   : 0;
}

static json_t *child(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);
	if (!v && json_object_set_new(o, key, v = json_object()))
		return NULL;
	return v;
}

/* Each "KEY=VALUE" of a repeatable option into the object at key. */
static int pairs(struct cli *c, const char *option, json_t *config, const char *key, struct err *e)
{
	const char *pair;
	int r = 0;
	for (unsigned n = 0; r == 0 && (pair = cli_opt_n(c, option, n)); n++) {
		const char *equals = strchr(pair, '=');
		char name[257];
		if (!equals || equals == pair || (size_t)(equals - pair) >= sizeof(name))
			return err_set(
			    e, ERR_INVALID, "--%s must be NAME=VALUE, not \"%.60s\"", option, pair);
		memcpy(name, pair, (size_t)(equals - pair));
		name[equals - pair] = 0;
		r = set_new(child(config, key), name, json_string(equals + 1), e);
	}
	return r;
}

static int guest(struct cli *c, json_t *config, struct err *e)
{
	const char *memory = cli_opt(c, "memory");
	int64_t cpus = 0, mb = 0;
	int r = cli_opt_int(c, "cpus", 1, 32, &cpus, e);
	if (r == 0 && memory && (!fly_memory_mb(memory, &mb) || mb < 64 || mb > 262144))
		r = err_set(e, ERR_INVALID, "--memory must be a size such as 512mb or 2gb");
	if (r == 0 && cpus)
		r = set_new(child(config, "guest"), "cpus", json_integer(cpus), e);
	if (r == 0 && mb)
		r = set_new(child(config, "guest"), "memory_mb", json_integer(mb), e);
	return r;
}

/* --port 80/tls... is left to fly.toml: here one HTTP service behind the edge's two ports is
 * enough. */
static int service(struct cli *c, json_t *config, struct err *e)
{
	int64_t port = 0;
	int r = cli_opt_int(c, "port", 1, 65535, &port, e);
	if (r < 0 || !port)
		return r;
	return set_new(config, "services",
	    json_pack("[{s:s, s:I, s:[{s:i, s:[s]}, {s:i, s:[s, s]}]}]", "protocol", "tcp",
		"internal_port", (json_int_t)port, "ports", "port", 80, "handlers", "http", "port",
		443, "handlers", "tls", "http"),
	    e);
}

/* The options that both commands share, over what is in config already. */
static int apply(struct cli *c, json_t *config, unsigned first_word, struct err *e)
{
	const char *policy = cli_opt(c, "restart");
	int r = pairs(c, "env", config, "env", e);
	if (r == 0)
		r = pairs(c, "metadata", config, "metadata", e);
	if (r == 0)
		r = guest(c, config, e);
	if (r == 0)
		r = service(c, config, e);
	if (r == 0 && policy)
		r = set_new(child(config, "restart"), "policy", json_string(policy), e);
	if (r == 0 && c->nargs > first_word) {
		json_t *words = json_array();
		for (unsigned i = first_word; i < c->nargs; i++)
			json_array_append_new(words, json_string(c->args[i]));
		r = set_new(child(config, "init"), "cmd", words, e);
	}
	return r;
}

static int config_from_file(struct cli *c, json_t **ret, struct err *e)
{
	const char *file = cli_opt(c, "machine-config");
	if (!file) {
		*ret = json_object();
		return *ret ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a request");
	}
	int r = json_read_file(AT_FDCWD, file, 1 << 20, ret, e);
	if (r == 0 && !json_is_object(*ret))
		r = err_set(e, ERR_INVALID, "%.200s is not a JSON object", file);
	return r;
}

static int begin(struct cli *c, bool launch, struct err *e)
{
	char app[64], ref[400];
	struct api *api = NULL;
	cleanup_json json_t *config = NULL, *answer = NULL, *body = NULL;
	cleanup_buf struct buf path;
	buf_init(&path, 256);
	int r = app_name(c, app, e);
	if (r == 0)
		r = cli_api(c, &api, e);
	if (r == 0)
		r = config_from_file(c, &config, e);
	if (r == 0)
		r = upload_image(c, c->args[0], ref, e);
	if (r == 0)
		r = set_new(config, "image", json_string(ref), e);
	if (r == 0)
		r = apply(c, config, 1, e);
	if (r == 0 && api_path(&path, "/v1/apps/%s/machines", app) < 0)
		r = err_set(e, ERR_NO_MEMORY, "no memory for a request");
	if (r < 0)
		return r;
	body = json_pack("{s:O, s:s*, s:s*, s:b}", "config", config, "name", cli_opt(c, "name"),
	    "region", cli_opt(c, "region"), "skip_launch", !launch);
	r = api_call(api, "POST", path.data, body, 120, &answer, e);
	if (r < 0)
		return r;
	if (c->json)
		out_json(answer);
	else
		puts(text_of(answer, "id"));
	out_say("machine %s %s", text_of(answer, "id"), launch ? "is starting" : "created");
	return 0;
}

static int run_run(struct cli *c, struct err *e)
{
	return begin(c, true, e);
}

static int run_create(struct cli *c, struct err *e)
{
	return begin(c, false, e);
}

static int run_update(struct cli *c, struct err *e)
{
	struct api *api = NULL;
	char ref[400];
	const char *image = cli_opt(c, "image"), *nonce = cli_opt(c, "lease");
	char header[300];
	cleanup_json json_t *machine = NULL, *config = NULL, *body = NULL, *answer = NULL;
	cleanup_buf struct buf path;
	buf_init(&path, 512);
	snprintf(header, sizeof(header), "fly-machine-lease-nonce: %.200s", nonce ? nonce : "");
	int r = machine_path(c, c->args[0], &path, e);
	if (r == 0)
		r = cli_api(c, &api, e);
	if (r == 0)
		r = api_call(api, "GET", path.data, NULL, 0, &machine, e);
	if (r < 0)
		return r;
	if (cli_opt(c, "machine-config"))
		r = config_from_file(c, &config, e);
	else
		config = json_deep_copy(json_object_get(machine, "config"));
	if (r == 0 && image)
		r = upload_image(c, image, ref, e);
	if (r == 0 && image)
		r = set_new(config, "image", json_string(ref), e);
	if (r == 0 && !json_object_get(config, "image"))
		r = set_new(config, "image",
		    json_incref(json_object_get(json_object_get(machine, "config"), "image")), e);
	if (r == 0)
		r = apply(c, config, 1, e);
	if (r < 0)
		return r;
	body = json_pack("{s:O, s:O, s:b}", "config", config, "current_version",
	    json_object_get(machine, "instance_id"), "skip_launch",
	    cli_opt(c, "skip-launch") != NULL);
	r = api_call_header(api, "POST", path.data, body, nonce ? header : NULL, 120, &answer, e);
	if (r < 0)
		return r;
	if (c->json)
		out_json(answer);
	out_say("machine %s has the version %s", c->args[0], text_of(answer, "instance_id"));
	return 0;
}

#define CONFIG_OPTIONS                                                                             \
	{ "env", 'e', "NAME=VALUE", "a variable of its environment (repeatable)" },                \
	    { "metadata", 0, "NAME=VALUE", "a note (repeatable)" },                                \
	    { "memory", 0, "SIZE", "such as 512mb" }, { "cpus", 0, "N", "how many CPUs" },         \
	    { "port", 'p', "N", "serve this port of the app over HTTP and HTTPS" },                \
	    { "restart", 0, "POLICY", "no, on-failure or always" },                                \
	{                                                                                          \
		"machine-config", 0, "FILE", "a Machines API config (JSON) to begin from"          \
	}

#define NEW_OPTIONS                                                                                \
	(const struct cli_option[])                                                                \
	{                                                                                          \
		OPTION_APP, { "name", 'n', "NAME", "its name" },                                   \
		    { "region", 'r', "NAME", "where" }, CONFIG_OPTIONS, OPTION_END                 \
	}

const struct command cmd_machine_run = {
	.name = "machine run",
	.args = "IMAGE [COMMAND...]",
	.summary = "make and start one machine",
	.text = "The image is an OCI archive or layout, or a registry reference. Prints the "
		"machine's id.",
	.min_args = 1,
	.max_args = CLI_ARGS_MAX,
	.stop_after = 1,
	.options = NEW_OPTIONS,
	.run = run_run,
};

const struct command cmd_machine_create = {
	.name = "machine create",
	.args = "IMAGE [COMMAND...]",
	.summary = "make one machine without starting it",
	.min_args = 1,
	.max_args = CLI_ARGS_MAX,
	.stop_after = 1,
	.options = NEW_OPTIONS,
	.run = run_create,
};

const struct command cmd_machine_update = {
	.name = "machine update",
	.args = "MACHINE [COMMAND...]",
	.summary = "give a machine another image or config",
	.text = "What is not named stays as it is. The machine is restarted with the new version.",
	.min_args = 1,
	.max_args = CLI_ARGS_MAX,
	.stop_after = 1,
	.options =
	    (const struct cli_option[]){ OPTION_APP, { "image", 'i', "FILE|REF", "another image" },
		CONFIG_OPTIONS, { "skip-launch", 0, NULL, "do not start it" },
		{ "lease", 0, "NONCE", "of the lease you hold on the machine" }, OPTION_END },
	.run = run_update,
};
