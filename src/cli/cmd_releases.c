#include "cli/api.h"
#include "cli/app.h"
#include "cli/follow.h"
#include "cli/out.h"

static int app_path(struct cli *c, const char *what, struct buf *path, char app[64],
    struct api **api, struct err *e)
{
	int r = app_name(c, app, e);
	if (r == 0)
		r = cli_api(c, api, e);
	if (r == 0 && (api_path(path, "/v1/apps/%s/", app) < 0 || buf_add_str(path, what) < 0))
		r = err_set(e, ERR_NO_MEMORY, "no memory for a request");
	return r;
}

static int run_releases(struct cli *c, struct err *e)
{
	struct api *api = NULL;
	char app[64];
	cleanup_json json_t *answer = NULL;
	cleanup_buf struct buf path;
	buf_init(&path, 256);
	int r = app_path(c, "releases", &path, app, &api, e);
	if (r == 0)
		r = api_call(api, "GET", path.data, NULL, 0, &answer, e);
	if (r < 0)
		return r;
	json_t *list = json_is_array(answer) ? answer : json_object_get(answer, "releases"), *v;
	if (c->json) {
		out_json(list);
		return 0;
	}
	struct table t;
	table_head(&t, "VERSION", "STATUS", "IMAGE", "CREATED", "MESSAGE", "REASON");
	size_t i;
	json_array_foreach (list, i, v) {
		char image[64];
		snprintf(image, sizeof(image), "%.40s", text_of(v, "image"));
		table_row(&t, text_of(v, "version"), text_of(v, "status"), image,
		    text_of(v, "created_at"), text_of(v, "message"), text_of(v, "reason"));
	}
	table_print(&t);
	return 0;
}

static int run_rollback(struct cli *c, struct err *e)
{
	struct api *api = NULL;
	char app[64];
	uint64_t version = 0;
	cleanup_json json_t *answer = NULL, *body = json_object();
	cleanup_buf struct buf path;
	buf_init(&path, 256);
	const char *v = c->nargs ? c->args[0] : NULL;
	if (v && (!str_u64(v + (*v == 'v'), 99999999, &version) || !version))
		return err_set(e, ERR_INVALID, "\"%.40s\" is not the number of a release", v);
	if (version && json_object_set_new(body, "version", json_integer((json_int_t)version)))
		return err_set(e, ERR_NO_MEMORY, "no memory for a request");
	int r = app_path(c, "releases/rollback", &path, app, &api, e);
	if (r == 0)
		r = api_call(api, "POST", path.data, body, 0, &answer, e);
	return r == 0 ? follow_deploy(c, app, answer, e) : r;
}

static int run_scale_show(struct cli *c, struct err *e)
{
	struct api *api = NULL;
	char app[64];
	cleanup_json json_t *answer = NULL;
	cleanup_buf struct buf path;
	buf_init(&path, 256);
	int r = app_path(c, "scale", &path, app, &api, e);
	if (r == 0)
		r = api_call(api, "GET", path.data, NULL, 0, &answer, e);
	if (r < 0)
		return r;
	if (c->json) {
		out_json(answer);
		return 0;
	}
	struct table t;
	table_head(&t, "GROUP", "COUNT");
	size_t i;
	json_t *g;
	json_array_foreach (json_object_get(answer, "groups"), i, g)
		table_row(&t, text_of(g, "name"), text_of(g, "count"));
	table_print(&t);
	return 0;
}

/* "3", or "web=3": the group may be part of the word, as with flyctl. */
static int run_scale_count(struct cli *c, struct err *e)
{
	struct api *api = NULL;
	char app[64], group[64] = "";
	uint64_t count;
	const char *word = c->args[0], *equals = strchr(word, '='),
		   *named = cli_opt(c, "process-group");
	if (equals && (size_t)(equals - word) < sizeof(group))
		memcpy(group, word, (size_t)(equals - word));
	else if (named && !str_copy(group, sizeof(group), named))
		return err_set(e, ERR_INVALID, "the process group's name is too long");
	if (!str_u64(equals ? equals + 1 : word, 100, &count))
		return err_set(e, ERR_INVALID,
		    "\"%.40s\" is not a number of machines between 0 and 100", word);
	cleanup_json json_t *answer = NULL, *body = json_pack("{s:I}", "count", (json_int_t)count);
	if (*group && json_object_set_new(body, "group", json_string(group)))
		return err_set(e, ERR_NO_MEMORY, "no memory for a request");
	cleanup_buf struct buf path;
	buf_init(&path, 256);
	int r = app_path(c, "scale", &path, app, &api, e);
	if (r == 0)
		r = api_call(api, "POST", path.data, body, 0, &answer, e);
	return r == 0 ? follow_deploy(c, app, answer, e) : r;
}

const struct command cmd_releases = {
	.name = "releases",
	.args = "",
	.summary = "the versions an app has had",
	.options = (const struct cli_option[]){ OPTION_APP, OPTION_CONFIG, OPTION_END },
	.run = run_releases,
};

const struct command cmd_rollback = {
	.name = "rollback",
	.args = "[VERSION]",
	.summary = "bring an earlier release back into service",
	.text = "Without a version: the last one that succeeded before the present. It runs as a "
		"deploy, behind the same checks.",
	.max_args = 1,
	.options =
	    (const struct cli_option[]){ OPTION_APP, OPTION_CONFIG, OPTION_DETACH, OPTION_END },
	.run = run_rollback,
};

const struct command cmd_scale_count = {
	.name = "scale count",
	.args = "COUNT|GROUP=COUNT",
	.summary = "how many machines an app has",
	.min_args = 1,
	.max_args = 1,
	.options =
	    (const struct cli_option[]){
		OPTION_APP,
		OPTION_CONFIG,
		{ "process-group", 'g', "NAME", "the process group (default: the app's only one)" },
		OPTION_DETACH,
		OPTION_END,
	    },
	.run = run_scale_count,
};

const struct command cmd_scale_show = {
	.name = "scale show",
	.args = "",
	.summary = "the machines of each process group",
	.options = (const struct cli_option[]){ OPTION_APP, OPTION_CONFIG, OPTION_END },
	.run = run_scale_show,
};
