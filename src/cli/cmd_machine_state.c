/* Changing what a machine does: start, stop, restart, signal, cordon, uncordon, wait, destroy. Each
 * takes several machines. */
#include "cli/api.h"
#include "cli/app.h"
#include "cli/out.h"

/* One request to /v1/apps/APP/machines/ID<suffix>. */
static int call(struct cli *c, const char *id, const char *method, const char *suffix,
    const json_t *body, unsigned timeout_s, json_t **ret, struct err *e)
{
	struct api *api = NULL;
	cleanup_buf struct buf path;
	buf_init(&path, 512);
	const char *nonce = cli_opt(c, "lease");
	char header[300];
	snprintf(header, sizeof(header), "fly-machine-lease-nonce: %.200s", nonce ? nonce : "");
	int r = machine_path(c, id, &path, e);
	if (r == 0)
		r = cli_api(c, &api, e);
	if (r == 0 && buf_add_str(&path, suffix) < 0)
		r = err_set(e, ERR_NO_MEMORY, "no memory for a request");
	return r == 0 ? api_call_header(
			    api, method, path.data, body, nonce ? header : NULL, timeout_s, ret, e)
		      : r;
}

/* The same for every machine named; the answers are one JSON array. */
static int for_each(struct cli *c, unsigned count, const char *method, const char *suffix,
    const json_t *body, const char *done, struct err *e)
{
	cleanup_json json_t *all = json_array();
	int r = 0;
	for (unsigned i = 0; r == 0 && i < count; i++) {
		json_t *answer = NULL;
		r = call(c, c->args[i], method, suffix, body, 90, &answer, e);
		if (r == 0)
			out_say("machine %s %s", c->args[i], done);
		if (answer)
			json_array_append_new(all, answer);
	}
	if (c->json && json_array_size(all))
		out_json(count == 1 ? json_array_get(all, 0) : all);
	return r;
}

static int run_start(struct cli *c, struct err *e)
{
	return for_each(c, c->nargs, "POST", "/start", NULL, "is starting", e);
}

/* A signal's name as people write it: "HUP", "sighup", "SIGHUP". */
static void signal_name(const char *s, char ret[24])
{
	snprintf(ret, 24, "%s%.15s",
	    !strncasecmp(s, "SIG", 3) || (*s >= '0' && *s <= '9') ? "" : "SIG", s);
	for (char *p = ret; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
}

static int run_stop(struct cli *c, struct err *e)
{
	const char *sig = cli_opt(c, "signal"), *timeout = cli_opt(c, "timeout");
	char name[24], duration[24];
	int64_t seconds = 0;
	cleanup_json json_t *body = json_object();
	int r = cli_opt_duration_s(c, "timeout", &seconds, e);
	if (r < 0)
		return r;
	if (sig) {
		signal_name(sig, name);
		json_object_set_new(body, "signal", json_string(name));
	}
	snprintf(duration, sizeof(duration), "%llds", (long long)seconds);
	if (timeout)
		json_object_set_new(body, "timeout", json_string(duration));
	return for_each(c, c->nargs, "POST", "/stop", body, "is stopping", e);
}

static int run_restart(struct cli *c, struct err *e)
{
	const char *sig = cli_opt(c, "signal");
	char suffix[120] = "/restart", name[24];
	int64_t seconds = 0;
	int r = cli_opt_duration_s(c, "timeout", &seconds, e);
	if (r < 0)
		return r;
	size_t at = strlen(suffix);
	if (seconds)
		at += (size_t)snprintf(
		    suffix + at, sizeof(suffix) - at, "?timeout=%llds", (long long)seconds);
	if (sig) {
		signal_name(sig, name);
		if (strspn(name, "SIGABCDEFHJKLMNOPQRTUVWXYZ0123456789") != strlen(name))
			return err_set(e, ERR_INVALID, "\"%.20s\" is not a signal", sig);
		snprintf(
		    suffix + at, sizeof(suffix) - at, "%csignal=%s", seconds ? '&' : '?', name);
	}
	return for_each(c, c->nargs, "POST", suffix, NULL, "is restarting", e);
}

/* The last argument is the signal; without one, SIGKILL. */
static int run_signal(struct cli *c, struct err *e)
{
	char name[24];
	signal_name(c->nargs > 1 ? c->args[1] : "SIGKILL", name);
	cleanup_json json_t *body = json_pack("{s:s}", "signal", name);
	return for_each(c, 1, "POST", "/signal", body, "was sent the signal", e);
}

static int run_cordon(struct cli *c, struct err *e)
{
	return for_each(c, c->nargs, "POST", "/cordon", NULL, "gets no more traffic", e);
}

static int run_uncordon(struct cli *c, struct err *e)
{
	return for_each(c, c->nargs, "POST", "/uncordon", NULL, "gets traffic again", e);
}

static int run_wait(struct cli *c, struct err *e)
{
	const char *state = cli_opt(c, "state"), *instance = cli_opt(c, "instance");
	int64_t seconds = 60;
	int r = cli_opt_duration_s(c, "timeout", &seconds, e);
	cleanup_buf struct buf suffix;
	buf_init(&suffix, 512);
	char number[24];
	cleanup_json json_t *answer = NULL;
	while (r == 0) { /* the API waits for 60 s at most */
		int64_t part = MIN(seconds, (int64_t)60);
		snprintf(number, sizeof(number), "%lld", (long long)MAX(part, (int64_t)1));
		buf_reset(&suffix);
		if (api_path(&suffix, "/wait?state=%s&timeout=%s", state ? state : "started",
			number) < 0 ||
		    (instance && api_path(&suffix, "&instance_id=%s", instance) < 0))
			return err_set(e, ERR_NO_MEMORY, "no memory for a request");
		seconds -= part;
		r = call(c, c->args[0], "GET", suffix.data, NULL, (unsigned)part + 15, &answer, e);
		if (r == 0 || e->code != ERR_TIMEOUT || seconds <= 0)
			break;
		r = 0;
	}
	if (r < 0)
		return r;
	if (c->json)
		out_json(answer);
	out_say("machine %s is %s", c->args[0], state ? state : "started");
	return 0;
}

static int destroy_all_of(
    struct cli *c, struct api *api, const char *app, const char *query, struct err *e)
{
	cleanup_json json_t *machines = NULL;
	int r = app_machines(c, app, &machines, e);
	size_t i;
	json_t *m;
	json_array_foreach (machines, i, m) {
		cleanup_buf struct buf path;
		buf_init(&path, 512);
		if (r < 0)
			break;
		if (api_path(&path, "/v1/apps/%s/machines/%s", app, text_of(m, "id")) < 0 ||
		    buf_add_str(&path, query) < 0)
			return err_set(e, ERR_NO_MEMORY, "no memory for a request");
		r = api_call(api, "DELETE", path.data, NULL, 90, NULL, e);
		if (r == 0)
			out_say("machine %s of %s is being destroyed", text_of(m, "id"), app);
		else if (r == -ENOENT)
			r = 0;
	}
	return r;
}

/* --all: of the app named, else of every app. */
static int destroy_all(struct cli *c, const char *query, struct err *e)
{
	struct api *api = NULL;
	cleanup_json json_t *apps = NULL;
	const char *app = cli_opt(c, "app");
	int r = app_confirm(c, e, "destroy all machines of %s", app ? app : "all apps");
	if (r == 0)
		r = cli_api(c, &api, e);
	if (r == 0 && app)
		return destroy_all_of(c, api, app, query, e);
	if (r == 0)
		r = app_list(c, &apps, e);
	for (size_t i = 0; r == 0 && i < json_array_size(apps); i++)
		r = destroy_all_of(c, api, text_of(json_array_get(apps, i), "name"), query, e);
	return r;
}

static int run_destroy(struct cli *c, struct err *e)
{
	const char *query = cli_opt(c, "force") ? "?force=true" : "";
	if (cli_opt(c, "all"))
		return destroy_all(c, query, e);
	if (!c->nargs) {
		err_set(e, ERR_INVALID, "which machine to destroy is not said");
		err_next(e, "name it, or --all of an app's");
		return -EINVAL;
	}
	return for_each(c, c->nargs, "DELETE", query, NULL, "is being destroyed", e);
}

#define LEASE_OPTION                                                                               \
	{                                                                                          \
		"lease", 0, "NONCE", "of the lease you hold on the machine"                        \
	}
#define MACHINES .args = "MACHINE...", .min_args = 1, .max_args = CLI_ARGS_MAX
#define OPTIONS(...)                                                                               \
	.options = (const struct cli_option[])                                                     \
	{                                                                                          \
		OPTION_APP, LEASE_OPTION, __VA_ARGS__ OPTION_END                                   \
	}
#define STOP_OPTIONS                                                                               \
	{ "signal", 's', "NAME", "in place of the app's kill_signal" },                            \
	    { "timeout", 't', "TIME", "until it is killed" },

const struct command cmd_machine_start = { .name = "machine start",
	.summary = "start stopped machines",
	MACHINES,
	OPTIONS(),
	.run = run_start };
const struct command cmd_machine_stop = { .name = "machine stop",
	.summary = "stop machines; they can be started again",
	MACHINES,
	OPTIONS(STOP_OPTIONS),
	.run = run_stop };
const struct command cmd_machine_restart = { .name = "machine restart",
	.summary = "stop and start machines",
	MACHINES,
	OPTIONS(STOP_OPTIONS),
	.run = run_restart };
const struct command cmd_machine_kill = { .name = "machine kill",
	.args = "MACHINE [SIGNAL]",
	.min_args = 1,
	.max_args = 2,
	.summary = "send a signal to a machine's app (default: SIGKILL)",
	OPTIONS(),
	.run = run_signal };
const struct command cmd_machine_signal = { .name = "machine signal",
	.args = "MACHINE SIGNAL",
	.min_args = 2,
	.max_args = 2,
	.summary = "send a signal to a machine's app",
	OPTIONS(),
	.run = run_signal };
const struct command cmd_machine_cordon = { .name = "machine cordon",
	.summary = "give machines no more traffic",
	MACHINES,
	OPTIONS(),
	.run = run_cordon };
const struct command cmd_machine_uncordon = { .name = "machine uncordon",
	.summary = "give machines traffic again",
	MACHINES,
	OPTIONS(),
	.run = run_uncordon };
const struct command cmd_machine_wait = { .name = "machine wait",
	.args = "MACHINE",
	.min_args = 1,
	.max_args = 1,
	.summary = "wait until a machine is in a state",
	OPTIONS({ "state", 's', "STATE", "started (default), stopped, destroyed, ..." },
	    { "instance", 0, "ID", "of this version" },
	    { "timeout", 't', "TIME", "how long (default 60s)" }, ),
	.run = run_wait };
const struct command cmd_machine_destroy = { .name = "machine destroy",
	.args = "MACHINE...",
	.max_args = CLI_ARGS_MAX,
	.summary = "destroy machines for good",
	.text = "A machine that runs is refused without --force.",
	OPTIONS({ "force", 'f', NULL, "even if they run" },
	    { "all", 0, NULL, "all of the app's machines; without an app, of all apps" },
	    OPTION_YES, ),
	.run = run_destroy };
