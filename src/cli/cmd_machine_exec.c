/* One command in a machine, its output and its exit code. With -i or -t it is a live stream, as
 * `ward console` is. */
#include "cli/api.h"
#include "cli/app.h"
#include "cli/out.h"
#include "cli/session.h"

enum { EXEC_DEFAULT_S = 60, EXEC_MAX_S = 60 };

static int run(struct cli *c, struct err *e)
{
	struct api *api = NULL;
	int64_t seconds = EXEC_DEFAULT_S;
	cleanup_buf struct buf path;
	buf_init(&path, 512);
	cleanup_json json_t *words = json_array(), *answer = NULL;
	for (unsigned i = 1; i < c->nargs; i++)
		if (json_array_append_new(words, json_string(c->args[i])))
			return err_set(e, ERR_INVALID, "the command is not valid UTF-8");
	int r = cli_opt_duration_s(c, "timeout", &seconds, e);
	if (r == 0 && (seconds < 1 || seconds > EXEC_MAX_S)) {
		r = err_set(e, ERR_INVALID, "--timeout must be between 1s and %ds", EXEC_MAX_S);
		err_next(e, "use `ward console` for what takes longer");
	}
	if (r == 0)
		r = machine_path(c, c->args[0], &path, e);
	if (r == 0)
		r = cli_api(c, &api, e);
	if (r < 0)
		return r;
	if (cli_opt(c, "tty") || cli_opt(c, "interactive"))
		return session_run(api, path.data, words, cli_opt(c, "tty"), e);
	cleanup_json json_t *body =
	    json_pack("{s:O, s:I}", "command", words, "timeout", (json_int_t)seconds);
	if (buf_add_str(&path, "/exec") < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for a request");
	r = api_call(api, "POST", path.data, body, (unsigned)seconds + 15, &answer, e);
	if (r < 0)
		return r;
	int code = (int)json_integer_value(json_object_get(answer, "exit_code")),
	    sig = (int)json_integer_value(json_object_get(answer, "exit_signal"));
	if (c->json) {
		out_json(answer);
	} else {
		const char *out = text_of(answer, "stdout"), *err = text_of(answer, "stderr");
		fputs(out, stdout);
		fputs(err, stderr);
	}
	return sig > 0 ? 128 + (sig & 127) : code & 255;
}

const struct command cmd_machine_exec = {
	.name = "machine exec",
	.args = "MACHINE COMMAND...",
	.summary = "run a command in a machine",
	.text = "Ends with the command's exit code (128 and the signal's number if one killed it).",
	.min_args = 2,
	.max_args = CLI_ARGS_MAX,
	.stop_after = 1,
	.options =
	    (const struct cli_option[]){
		OPTION_APP,
		{ "timeout", 't', "TIME", "how long it may take (default and most: 60s)" },
		{ "interactive", 'i', NULL, "give it this command's input; no limit of time" },
		{ "tty", 'T', NULL, "with a terminal" },
		OPTION_END,
	    },
	.run = run,
};
