#include "cli/api.h"
#include "cli/app.h"
#include "cli/follow.h"
#include "cli/out.h"
#include "cli/upload.h"

/* The app is made at its first deploy. */
static int ensure_app(struct cli *c, const char *app, struct err *e)
{
	struct api *api = NULL;
	cleanup_buf struct buf path;
	buf_init(&path, 256);
	int r = cli_api(c, &api, e);
	if (r == 0 && api_path(&path, "/v1/apps/%s", app) < 0)
		r = err_set(e, ERR_NO_MEMORY, "no memory for a request");
	if (r == 0)
		r = api_call(api, "GET", path.data, NULL, 0, NULL, e);
	if (r != -ENOENT)
		return r;
	const char *org = cli_opt(c, "org");
	cleanup_json json_t *body =
	    json_pack("{s:s, s:s}", "name", app, "org_slug", org ? org : "personal");
	r = api_call(api, "POST", "/v1/apps", body, 0, NULL, e);
	if (r == 0)
		out_say("app %s created", app);
	return r;
}

static int send(
    struct cli *c, const char *app, const struct fly_config *file, const char *image, struct err *e)
{
	char ref[400];
	struct api *api = NULL;
	int r = cli_api(c, &api, e);
	if (r == 0)
		r = upload_check(image, e); /* before the app is made */
	if (r == 0)
		r = ensure_app(c, app, e);
	if (r == 0)
		r = upload_image(c, image, ref, e);
	cleanup_json json_t *body = NULL, *answer = NULL;
	if (r == 0)
		r = fly_config_deploy_body(file, ref, &body, e);
	if (r < 0)
		return r;
	const char *message = cli_opt(c, "message"), *strategy = cli_opt(c, "strategy");
	int64_t wait = 0;
	r = cli_opt_duration_s(c, "wait-timeout", &wait, e);
	if (r < 0)
		return r;
	if (message)
		json_object_set_new(body, "message", json_string(message));
	if (strategy)
		json_object_set_new(body, "strategy", json_string(strategy));
	if (wait)
		json_object_set_new(body, "wait_timeout_ms", json_integer(wait * 1000));
	cleanup_buf struct buf path;
	buf_init(&path, 256);
	if (api_path(&path, "/v1/apps/%s/deploys", app) < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for a request");
	r = api_call(api, "POST", path.data, body, 0, &answer, e);
	return r == 0 ? follow_deploy(c, app, answer, e) : r;
}

static int run(struct cli *c, struct err *e)
{
	cleanup_fly_config struct fly_config file = { 0 };
	char app[64];
	int r = app_file(c, &file, e);
	if (r == -ENOENT &&
	    !cli_opt(c, "config")) /* `ward deploy --app x --image y` needs no file */
		r = cli_opt(c, "app") ? fly_config_parse("", 0, NULL, &file, e) : r;
	if (r == 0)
		r = app_name(c, app, e);
	if (r < 0)
		return r;
	const char *image = cli_opt(c, "image");
	if (!image && c->nargs)
		image = c->args[0];
	if (!image && *file.image)
		image = file.image;
	if (!image) {
		err_set(e, ERR_INVALID, "which image to deploy is not said");
		err_next(e, "`ward deploy --image FILE` (an OCI archive or layout) or a registry "
			    "reference; or `image` in [build] of fly.toml");
		return -EINVAL;
	}
	return send(c, app, &file, image, e);
}

const struct command cmd_deploy = {
	.name = "deploy",
	.args = "[IMAGE]",
	.summary = "bring a new version of an app into service",
	.text = "Reads fly.toml, uploads the parts of the image that the platform does not have "
		"yet, and replaces the machines one by one behind their "
		"health checks. If a check fails, the deploy stops and the old version goes on "
		"serving. The deploy runs in the platform: closing "
		"this terminal does not stop it. The app is made if it does not exist.",
	.max_args = 1,
	.options =
	    (const struct cli_option[]){
		{ "image", 'i', "FILE|REF",
		    "an OCI archive (tar) or layout folder, or a registry reference" },
		OPTION_APP,
		OPTION_CONFIG,
		{ "strategy", 0, "NAME", "rolling or immediate, in place of the file's" },
		{ "wait-timeout", 0, "TIME", "how long a machine may take to become healthy" },
		{ "message", 'm', "TEXT", "kept with the release" },
		{ "org", 0, "NAME", "the organisation of an app that is new" },
		OPTION_DETACH,
		OPTION_END,
	    },
	.run = run,
};
