#include "cli/follow.h"
#include "base/clock.h"
#include "cli/api.h"
#include "cli/out.h"
#include <signal.h>

enum { RETRY_MAX_MS = 4000, GIVE_UP_MS = 180000, QUIET_BEATS = 4 };

struct follow {
	const char *app;
	int64_t last;          /* number of the last event seen */
	unsigned steps, beats; /* heartbeats since then */
	bool done;
	uint64_t heard_ms;
};

static int on_line(void *arg, const char *text, size_t len)
{
	struct follow *f = arg;
	cleanup_json json_t *event = NULL;
	struct err ignored;
	if (json_parse(text, len, &event, &ignored) < 0)
		return 0;
	f->heard_ms = clock_mono_ms();
	const char *type = text_of(event, "type");
	json_int_t n = json_integer_value(json_object_get(event, "n"));
	if (streq(type, "heartbeat") && ++f->beats == QUIET_BEATS)
		out_say("     still at it; `ward status --app %s` tells more", f->app);
	if (streq(type, "heartbeat") || n <= f->last)
		return 0;
	f->last = n;
	f->beats = 0;
	f->done = streq(type, "done");
	const char *machine = text_of(event, "machine"), *step = text_of(event, "step"),
		   *message = text_of(event, "message");
	bool failed = streq(type, "failed");
	if (*machine)
		out_say("%3u. machine %s: %s%s%s%s", ++f->steps, machine, failed ? "failed: " : "",
		    step, *step && *message ? ": " : "", message);
	else
		out_say("%3u. %s%s", ++f->steps, failed ? "failed: " : "",
		    *message ? message
		    : *step  ? step
			     : type);
	return f->done;
}

static int watch(struct follow *f, struct api *api, const char *app, const char *id, struct err *e)
{
	unsigned pause_ms = 250;
	f->heard_ms = clock_mono_ms();
	while (!f->done) {
		cleanup_buf struct buf path;
		char after[24];
		snprintf(after, sizeof(after), "%lld", (long long)f->last);
		buf_init(&path, 512);
		if (api_path(&path, "/v1/apps/%s/deploys/%s?follow=1&after=%s", app, id, after) < 0)
			return err_set(e, ERR_NO_MEMORY, "no memory for a request");
		int64_t before = f->last;
		int r = api_lines(api, path.data, on_line, f, e);
		if (f->done)
			return 0;
		if (r < 0 && e->code != ERR_UNAVAILABLE && e->code != ERR_TIMEOUT)
			return r;
		if (clock_mono_ms() - f->heard_ms > GIVE_UP_MS) {
			r = err_set(e, ERR_UNAVAILABLE,
			    "the API has not been heard for %d s; the deploy goes on without us",
			    GIVE_UP_MS / 1000);
			err_next(e, "`ward releases --app %s` tells how it ended", app);
			return r;
		}
		pause_ms = f->last > before ? 250 : MIN(pause_ms * 2, (unsigned)RETRY_MAX_MS);
		usleep(pause_ms * 1000);
	}
	return 0;
}

static int verdict(struct cli *c, struct api *api, const char *app, const char *id, struct err *e)
{
	cleanup_buf struct buf path;
	buf_init(&path, 512);
	cleanup_json json_t *deploy = NULL;
	int r = api_path(&path, "/v1/apps/%s/deploys/%s", app, id) < 0
		    ? err_set(e, ERR_NO_MEMORY, "no memory for a request")
		    : 0;
	for (unsigned tries = 0; r == 0; tries++) {
		json_decref(deploy);
		deploy = NULL;
		r = api_call(api, "GET", path.data, NULL, 0, &deploy, e);
		const char *status = text_of(deploy, "status");
		if (r < 0 || streq(status, "succeeded") || streq(status, "failed") || tries == 20)
			break;
		usleep(250000); /* the last event can be seen before the record it belongs to */
	}
	if (r < 0)
		return r;
	if (c->json)
		out_json(deploy);
	const char *release = text_of(deploy, "release"), *reason = text_of(deploy, "reason");
	if (streq(text_of(deploy, "status"), "succeeded")) {
		out_say("release %s of %s is deployed", release, app);
		return 0;
	}
	return err_set(e, ERR_DEPLOY_FAILED, "release %s of %s failed: %s", release, app,
	    *reason ? reason : "no reason was recorded");
}

/* Ctrl-C ends the watching alone. */
static void on_interrupt(int sig)
{
	static const char said[] =
	    "\nthe deploy goes on in the platform; `ward releases` tells how it ends\n";
	ssize_t ignored = write(STDERR_FILENO, said, sizeof(said) - 1);
	(void)ignored;
	_exit(128 + sig);
}

int follow_deploy(struct cli *c, const char *app, const json_t *answer, struct err *e)
{
	const char *id = json_string_value(json_object_get(answer, "id"));
	struct api *api = NULL;
	int r = cli_api(c, &api, e);
	if (r < 0)
		return r;
	if (!id)
		return err_set(e, ERR_PROTOCOL, "the API's answer names no deploy");
	if (cli_opt(c, "detach")) {
		if (c->json)
			out_json(answer);
		out_say("release %s of %s is on its way (deploy %s)", text_of(answer, "release"),
		    app, id);
		return 0;
	}
	struct follow f = { .app = app };
	signal(SIGINT, on_interrupt);
	r = watch(&f, api, app, id, e);
	return r == 0 ? verdict(c, api, app, id, e) : r;
}
