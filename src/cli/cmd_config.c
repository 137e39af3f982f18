#include "cli/app.h"
#include "cli/out.h"

static int run_validate(struct cli *c, struct err *e)
{
	cleanup_fly_config struct fly_config file = { 0 };
	int r = app_file(c, &file, e);
	if (r < 0)
		return r;
	if (c->json) {
		cleanup_json json_t *j = json_pack(
		    "{s:b, s:s, s:O}", "valid", 1, "app", file.app, "warnings", file.warnings);
		out_json(j);
	}
	out_say("the file is valid%s%s", *file.app ? " for the app " : "", file.app);
	return 0;
}

static int run_show(struct cli *c, struct err *e)
{
	cleanup_fly_config struct fly_config file = { 0 };
	cleanup_json json_t *body = NULL;
	int r = app_file(c, &file, e);
	if (r == 0)
		r = fly_config_deploy_body(&file, *file.image ? file.image : "IMAGE", &body, e);
	if (r == 0)
		out_json(body);
	return r;
}

const struct command cmd_config_validate = {
	.name = "config validate",
	.args = "",
	.summary = "check the app's file without deploying",
	.options = (const struct cli_option[]){ OPTION_CONFIG, OPTION_END },
	.run = run_validate,
};

const struct command cmd_config_show = {
	.name = "config show",
	.args = "",
	.summary = "what the app's file asks the platform for",
	.text = "Prints the body of the deploy request, as JSON.",
	.options = (const struct cli_option[]){ OPTION_CONFIG, OPTION_END },
	.run = run_show,
};
