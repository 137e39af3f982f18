#include "cli/api.h"
#include "cli/app.h"
#include "cli/out.h"

static int path_to(struct cli *c, const char *fmt, const char *key, struct buf *path,
    struct api **api, struct err *e)
{
	int r = machine_path(c, c->args[0], path, e);
	if (r == 0)
		r = cli_api(c, api, e);
	if (r == 0 && buf_add_str(path, fmt) < 0)
		r = err_set(e, ERR_NO_MEMORY, "no memory for a request");
	if (r == 0 && key && (buf_add_str(path, "/") < 0 || api_path(path, "%s", key) < 0))
		r = err_set(e, ERR_NO_MEMORY, "no memory for a request");
	return r;
}

/* No further word: show all. "KEY": show one. "KEY=VALUE": set. "KEY=": remove. */
static int run_metadata(struct cli *c, struct err *e)
{
	struct api *api = NULL;
	int r = 0;
	for (unsigned i = 1; r == 0 && i < c->nargs; i++) {
		char key[80];
		const char *equals = strchr(c->args[i], '=');
		cleanup_buf struct buf path;
		buf_init(&path, 512);
		if (!equals || equals == c->args[i] || (size_t)(equals - c->args[i]) >= sizeof(key))
			return err_set(e, ERR_INVALID,
			    "\"%.60s\" must be KEY=VALUE, or KEY= to remove it", c->args[i]);
		snprintf(key, sizeof(key), "%.*s", (int)(equals - c->args[i]), c->args[i]);
		r = path_to(c, "/metadata", key, &path, &api, e);
		cleanup_json json_t *body = json_pack("{s:s}", "value", equals + 1);
		if (r == 0)
			r = equals[1] ? api_call(api, "POST", path.data, body, 0, NULL, e)
				      : api_call(api, "DELETE", path.data, NULL, 0, NULL, e);
	}
	cleanup_json json_t *all = NULL;
	cleanup_buf struct buf path;
	buf_init(&path, 512);
	if (r == 0)
		r = path_to(c, "/metadata", NULL, &path, &api, e);
	if (r == 0)
		r = api_call(api, "GET", path.data, NULL, 0, &all, e);
	if (r < 0)
		return r;
	if (c->json) {
		out_json(all);
		return 0;
	}
	const char *key;
	json_t *v;
	json_object_foreach (all, key, v)
		printf("%s=%s\n", key, text_of(all, key));
	return 0;
}

static int show_lease(struct cli *c, const json_t *answer)
{
	const json_t *data = json_object_get(answer, "data");
	if (c->json) {
		out_json(answer);
		return 0;
	}
	printf("nonce %s\nowner %s\nexpires %s\n", text_of(data, "nonce"), text_of(data, "owner"),
	    text_of(data, "expires_at"));
	return 0;
}

static int lease(struct cli *c, const char *method, const json_t *body, struct err *e)
{
	struct api *api = NULL;
	const char *nonce = cli_opt(c, "lease");
	char header[300];
	cleanup_json json_t *answer = NULL;
	cleanup_buf struct buf path;
	buf_init(&path, 512);
	snprintf(header, sizeof(header), "fly-machine-lease-nonce: %.200s", nonce ? nonce : "");
	int r = path_to(c, "/lease", NULL, &path, &api, e);
	if (r == 0)
		r = api_call_header(
		    api, method, path.data, body, nonce ? header : NULL, 0, &answer, e);
	if (r < 0)
		return r;
	if (!streq(method, "DELETE"))
		return show_lease(c, answer);
	if (c->json)
		out_json(answer);
	out_say("the lease on machine %s is released", c->args[0]);
	return 0;
}

static int run_view(struct cli *c, struct err *e)
{
	return lease(c, "GET", NULL, e);
}

static int run_acquire(struct cli *c, struct err *e)
{
	int64_t ttl = 30;
	int r = cli_opt_duration_s(c, "ttl", &ttl, e);
	cleanup_json json_t *body = json_pack(
	    "{s:I, s:s*}", "ttl", (json_int_t)ttl, "description", cli_opt(c, "description"));
	return r == 0 ? lease(c, "POST", body, e) : r;
}

static int run_clear(struct cli *c, struct err *e)
{
	return lease(c, "DELETE", NULL, e);
}

#define LEASE                                                                                      \
	{                                                                                          \
		"lease", 0, "NONCE", "of the lease you hold on the machine"                        \
	}

const struct command cmd_machine_metadata = {
	.name = "machine metadata",
	.args = "MACHINE [KEY=VALUE...]",
	.summary = "show or change a machine's notes",
	.text = "KEY=VALUE sets one, KEY= removes it; then all are shown.",
	.min_args = 1,
	.max_args = 64,
	.options = (const struct cli_option[]){ OPTION_APP, OPTION_END },
	.run = run_metadata,
};

const struct command cmd_machine_leases_view = {
	.name = "machine leases view",
	.args = "MACHINE",
	.summary = "who holds the lease on a machine",
	.min_args = 1,
	.max_args = 1,
	.options = (const struct cli_option[]){ OPTION_APP, OPTION_END },
	.run = run_view,
};

const struct command cmd_machine_leases_acquire = {
	.name = "machine leases acquire",
	.args = "MACHINE",
	.summary = "take the lease, so that nobody else changes the machine",
	.min_args = 1,
	.max_args = 1,
	.options = (const struct cli_option[]){ OPTION_APP,
	    { "ttl", 't', "TIME", "how long (default 30s)" },
	    { "description", 0, "TEXT", "what for" }, LEASE, OPTION_END },
	.run = run_acquire,
};

const struct command cmd_machine_leases_clear = {
	.name = "machine leases clear",
	.args = "MACHINE",
	.summary = "release the lease",
	.min_args = 1,
	.max_args = 1,
	.options = (const struct cli_option[]){ OPTION_APP, LEASE, OPTION_END },
	.run = run_clear,
};
