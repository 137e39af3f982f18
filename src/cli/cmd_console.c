#include "cli/app.h"
#include "cli/out.h"
#include "cli/session.h"

/* Without a machine named: the first of the app's that runs. */
static int choose(struct cli *c, char id[64], struct err *e)
{
	char app[64];
	cleanup_json json_t *machines = NULL;
	int r = app_name(c, app, e);
	if (r == 0)
		r = app_machines(c, app, &machines, e);
	for (size_t i = 0; r == 0 && i < json_array_size(machines); i++) {
		const json_t *m = json_array_get(machines, i);
		if (streq(text_of(m, "state"), "started") && str_copy(id, 64, text_of(m, "id")))
			return 0;
	}
	if (r == 0) {
		r = err_set(e, ERR_NOT_FOUND, "no machine of %s runs", app);
		err_next(e, "`ward machine start` one, or look at `ward status --app %s`", app);
	}
	return r;
}

static int run(struct cli *c, struct err *e)
{
	struct api *api = NULL;
	char id[64];
	const char *machine = cli_opt(c, "machine");
	cleanup_json json_t *words = json_array();
	for (unsigned i = 0; i < c->nargs; i++)
		json_array_append_new(words, json_string(c->args[i]));
	if (!c->nargs)
		json_array_append_new(words, json_string("/bin/sh"));
	int r = machine && str_copy(id, sizeof(id), machine) ? 0 : choose(c, id, e);
	cleanup_buf struct buf path;
	buf_init(&path, 512);
	if (r == 0)
		r = machine_path(c, id, &path, e);
	if (r == 0)
		r = cli_api(c, &api, e);
	if (r < 0)
		return r;
	bool tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	return session_run(api, path.data, words, tty, e);
}

const struct command cmd_console = {
	.name = "console",
	.args = "[COMMAND...]",
	.summary = "a terminal in a machine",
	.text = "Runs /bin/sh, or the command given, in a machine that runs. Ends with the "
		"command's exit code.",
	.max_args = CLI_ARGS_MAX,
	.stop_after = 0,
	.options = (const struct cli_option[]){ OPTION_APP, OPTION_CONFIG,
	    { "machine", 0, "ID", "in this machine (default: the app's first that runs)" },
	    OPTION_END },
	.run = run,
};
