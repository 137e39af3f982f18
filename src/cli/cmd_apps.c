#include "cli/api.h"
#include "cli/app.h"
#include "cli/out.h"

static int run_list(struct cli *c, struct err *e)
{
	cleanup_json json_t *apps = NULL;
	int r = app_list(c, &apps, e);
	if (r < 0)
		return r;
	if (c->json) {
		out_json(apps);
		return 0;
	}
	struct table t;
	table_head(&t, "APP", "STATUS", "ORGANISATION", "MACHINES", "NETWORK");
	size_t i;
	json_t *a;
	json_array_foreach (apps, i, a)
		table_row(&t, text_of(a, "name"), text_of(a, "status"),
		    text_of(json_object_get(a, "organization"), "slug"),
		    text_of(a, "machine_count"), text_of(a, "network"));
	table_print(&t);
	return 0;
}

static int run_create(struct cli *c, struct err *e)
{
	struct api *api = NULL;
	const char *org = cli_opt(c, "org"), *network = cli_opt(c, "network");
	cleanup_json json_t *body = json_pack("{s:s, s:s, s:s*}", "name", c->args[0], "org_slug",
	    org ? org : "personal", "network", network);
	cleanup_json json_t *answer = NULL;
	int r = cli_api(c, &api, e);
	if (r == 0)
		r = api_call(api, "POST", "/v1/apps", body, 0, &answer, e);
	if (r < 0)
		return r;
	if (c->json)
		out_json(answer);
	out_say("app %s created", c->args[0]);
	return 0;
}

static int run_destroy(struct cli *c, struct err *e)
{
	struct api *api = NULL;
	cleanup_buf struct buf path;
	buf_init(&path, 256);
	int r = app_confirm(c, e, "destroy the app %.63s and all its machines", c->args[0]);
	if (r == 0)
		r = cli_api(c, &api, e);
	if (r == 0 && api_path(&path, "/v1/apps/%s", c->args[0]) < 0)
		r = err_set(e, ERR_NO_MEMORY, "no memory for a request");
	if (r == 0)
		r = api_call(api, "DELETE", path.data, NULL, 0, NULL, e);
	if (r == 0)
		out_say("app %s is being destroyed", c->args[0]);
	cleanup_json json_t *answer =
	    r == 0 && c->json ? json_pack("{s:b,s:s}", "ok", 1, "name", c->args[0]) : NULL;
	if (answer)
		out_json(answer);
	return r;
}

const struct command cmd_apps = {
	.name = "apps",
	.args = "",
	.summary = "list the apps",
	.options = (const struct cli_option[]){ OPTION_END },
	.run = run_list,
};

const struct command cmd_apps_list = {
	.name = "apps list",
	.args = "",
	.summary = "list the apps",
	.options = (const struct cli_option[]){ OPTION_END },
	.run = run_list,
};

const struct command cmd_apps_create = {
	.name = "apps create",
	.args = "NAME",
	.summary = "make an app, without machines",
	.min_args = 1,
	.max_args = 1,
	.options =
	    (const struct cli_option[]){
		{ "org", 'o', "NAME", "its organisation (default: personal)" },
		{ "network", 0, "NAME",
		    "a private network of its own name within the organisation" },
		OPTION_END,
	    },
	.run = run_create,
};

const struct command cmd_apps_destroy = {
	.name = "apps destroy",
	.args = "NAME",
	.summary = "destroy an app and all its machines",
	.min_args = 1,
	.max_args = 1,
	.options = (const struct cli_option[]){ OPTION_YES, OPTION_END },
	.run = run_destroy,
};
