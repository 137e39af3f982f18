#include "api/deploys.h"
#include "api/handlers.h"
#include "base/clock.h"
#include "base/str.h"

/* GET .../deploys/{id}?follow=1: a line for each event, a heartbeat every 5 s, to the end. */

enum { HEARTBEAT_MS = 5000 };

struct follow {
	int64_t last; /* the number of the last event told */
	bool done;
	sd_event_source *beat;
};

static void follow_free(void *work)
{
	struct follow *f = work;
	sd_event_source_disable_unref(f->beat);
	free(f);
}

static bool tell(struct call *c, json_t *line)
{
	cleanup_free char *text = line ? json_format(line) : NULL;
	json_decref(line);
	if (!text)
		return false;
	size_t n = strlen(text);
	text[n] = '\n'; /* in the place of the NUL: one write, one line */
	return http_stream_write(c->http, text, n + 1) == 0;
}

static int tell_event(void *arg, const char *rest, json_t *event)
{
	struct call *c = arg;
	struct follow *f = c->work;
	int64_t n = json_integer_value(json_object_get(event, "n"));
	if (n <= f->last)
		return 0;
	if (!tell(c, deploy_event_show(event)))
		return 1; /* the client is slow: again when it has read, from here */
	f->last = n;
	f->done = streq(state_text(event, "type"), "done");
	return 0;
}

/* Also for who has asked for what comes after the last event, or is so slow that the record went.
 */
static bool has_ended(struct call *c, const json_t *app)
{
	const struct follow *f = c->work;
	const json_t *d = state_get(
	    &c->api->state, VIEW_APPS, "%s/deploys/%s", state_text(app, "id"), c->param[1]);
	const char *status = state_text(d, "status");
	return !d || ((streq(status, "succeeded") || streq(status, "failed")) &&
			 f->last >= json_integer_value(json_object_get(d, "events")));
}

/* Tells what is new; true when the stream is over (then c is gone). */
static bool check(struct call *c)
{
	struct follow *f = c->work;
	char prefix[256];
	json_t *app = state_app(&c->api->state, c->param[0]);
	if (app) {
		snprintf(prefix, sizeof(prefix), "%s/deploy-events/%s/", state_text(app, "id"),
		    c->param[1]);
		state_each(&c->api->state, VIEW_APPS, prefix, tell_event, c);
	}
	if (app && !f->done && !has_ended(c, app))
		return false;
	http_stream_end(c->http);
	return true;
}

static void late(struct call *c)
{
	http_stream_end(c->http); /* a deploy cannot take that long: each step of it is bounded */
}

static void ready(void *user)
{
	struct call *c = user;
	api_changed(c->api);
}

static int on_beat(sd_event_source *s, uint64_t usec, void *arg)
{
	struct call *c = arg;
	char at[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(at, clock_wall_us());
	tell(c, json_pack("{s:s, s:s}", "type", "heartbeat", "at", at));
	sd_event_source_set_time(s, clock_mono_us() + HEARTBEAT_MS * 1000);
	sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

void deploys_follow(struct call *c)
{
	json_t *app = call_app(c);
	if (!app || !deploy_find(c, app))
		return;
	int64_t after = 0;
	if (!call_query_int(c, "after", 0, INT32_MAX, &after))
		return;
	struct follow *f = calloc(1, sizeof(*f));
	if (!f || sd_event_add_time(c->api->loop, &f->beat, CLOCK_MONOTONIC,
		      clock_mono_us() + HEARTBEAT_MS * 1000, 10000, on_beat, c) < 0) {
		free(f);
		call_failf(c, ERR_NO_MEMORY, "no memory to follow a deploy");
		return;
	}
	f->last = after;
	call_work(c, f, follow_free);
	if (http_stream_begin(c->http, 200, "application/x-ndjson", ready) < 0)
		return;
	call_wait(c, 24 * 3600 * 1000ULL, check, late);
}
