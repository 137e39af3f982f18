/* One machine's lines: asked from its link, kept, and only then acknowledged. Whatever dies between
 * two of these steps, the next run asks from the last line kept, and repetitions are dropped by
 * their numbers. */
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "telemetry/telemetry.h"

enum {
	WAIT_MS = 20000, /* the link holds the question so long */
	TIMEOUT_MS = 35000,
	OWNER_MS = 100, /* until it is asked again whose the machine is */
	GATHER_MS = 20, /* lines come in bursts: one block, and one sync, for what came meanwhile */
	RETRY_MIN_MS = 100,
	RETRY_MAX_MS = 1000, /* a machine that starts again is not missed for long */
	ANSWER_MAX = 2 * 1024 * 1024,
};

struct source {
	struct telemetry *t;
	struct source *prev, *next;
	struct owner who; /* machine at once, the rest when it is known */
	bool known;
	struct applog *log;
	char link[128];
	struct http_transfer *transfer;
	sd_event_source *timer;
	uint64_t acked, acking; /* what the link knows to be kept, and what it is being told */
	unsigned failures;
	bool told; /* of the present failure, once */
};

static void arm(struct source *s, uint64_t ms)
{
	(void)sd_event_source_set_time_relative(s->timer, ms * 1000);
	(void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

/* A link that is not there yet, or not any more, is the usual case and no news. */
static void failed(struct source *s, const struct err *e)
{
	uint64_t delay =
	    MIN((uint64_t)RETRY_MIN_MS << MIN(s->failures, 6U), (uint64_t)RETRY_MAX_MS);
	if (e && e->code != ERR_UNAVAILABLE && !s->told) {
		log_err(e, "the log of machine %s", s->who.machine);
		s->told = true;
	}
	s->failures++;
	arm(s, delay);
}

static void ask(struct source *s, const char *method, const char *path, const char *body,
    const struct http_transfer_ops *ops)
{
	static const char *const headers[] = { "Content-Type: application/json", NULL };
	struct err e;
	struct bytes b = { body, body ? strlen(body) : 0 };
	if (http_start(s->t->client, s->link, method, path, body ? headers : NULL, b, NULL,
		ANSWER_MAX, TIMEOUT_MS, ops, s, &s->transfer, &e) < 0)
		failed(s, &e);
}

static void on_acked(void *arg, int status, struct bytes body, const struct err *err)
{
	struct source *s = arg;
	s->transfer = NULL;
	if (err || status >= 300) {
		failed(s, err); /* what is kept is kept; the next acknowledgement says the same and
				   more */
		return;
	}
	s->acked = s->acking;
	arm(s, GATHER_MS);
}

static void acknowledge(struct source *s)
{
	static const struct http_transfer_ops ops = { .done = on_acked };
	char body[48];
	s->acking = applog_last_n(s->log, s->who.machine);
	snprintf(body, sizeof(body), "{\"upto\":%llu}", (unsigned long long)s->acking);
	ask(s, "POST", "/v1/logs/ack", body, &ops);
}

static void on_lines(void *arg, int status, struct bytes body, const struct err *err)
{
	struct source *s = arg;
	struct taken taken = { 0 };
	struct err e = { 0 };
	s->transfer = NULL;
	if (err || status != 200) {
		if (!err)
			err_set(&e, ERR_PROTOCOL, "the link answered with status %d", status);
		failed(s, err ? err : &e);
		return;
	}
	cleanup_buf struct buf lines;
	buf_init(&lines, APPLOG_BLOCK_TEXT + 1);
	uint64_t after = applog_last_n(s->log, s->who.machine);
	int bad = body.len ? lines_take(body.base, body.len, &s->who, after, APPLOG_BLOCK_TEXT,
				 &lines, &taken, &e)
			   : 0;
	struct err bad_e = e;
	if (taken.lines &&
	    hub_add(s->t, s->log, s->who.machine, &taken, buf_bytes(&lines), &e) < 0) {
		failed(s, &e); /* not kept, so not acknowledged: the ring still has it */
		return;
	}
	if (bad < 0) {
		failed(s, &bad_e);
		return;
	}
	s->failures = 0;
	s->told = false;
	if (taken.lines)
		acknowledge(s);
	else
		arm(s, GATHER_MS);
}

/* Whose lines they are is the agent's word, not the link's. */
static bool learn(struct source *s)
{
	struct err e = { 0 };
	if (!hub_owner(s->t, s->who.machine, &s->who)) {
		arm(s, OWNER_MS);
		return false;
	}
	if (hub_applog(s->t, s->who.app_id, true, &s->log, &e) < 0) {
		failed(s, &e);
		return false;
	}
	applog_lives(s->log, s->who.machine, true);
	s->known = true;
	return true;
}

static void ask_next(struct source *s)
{
	static const struct http_transfer_ops lines = { .done = on_lines };
	if (!s->known && !learn(s))
		return;
	/* also what an earlier run of ours kept and did not come to tell */
	if (applog_last_n(s->log, s->who.machine) > s->acked) {
		acknowledge(s);
		return;
	}
	char path[80];
	snprintf(path, sizeof(path), "/v1/logs?after=%llu&wait_ms=%d",
	    (unsigned long long)applog_last_n(s->log, s->who.machine), WAIT_MS);
	ask(s, "GET", path, NULL, &lines);
}

static int on_timer(sd_event_source *src, uint64_t usec, void *arg)
{
	ask_next(arg);
	return 0;
}

int source_start(struct telemetry *t, const char *machine, struct err *e)
{
	struct source *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, ERR_NO_MEMORY, "no memory to follow a machine");
	s->t = t;
	str_copy(s->who.machine, sizeof(s->who.machine), machine);
	int n =
	    snprintf(s->link, sizeof(s->link), "%s/machines/%s/link.sock", t->places.run, machine);
	int r = n < (int)sizeof(s->link) ? sd_event_add_time_relative(t->loop, &s->timer,
					       CLOCK_MONOTONIC, 0, 0, on_timer, s)
					 : -ENAMETOOLONG;
	if (r < 0) {
		free(s);
		return err_sys(e, -r, "cannot follow machine %s", machine);
	}
	s->next = t->sources;
	if (s->next)
		s->next->prev = s;
	t->sources = s;
	t->nsources++;
	return 0;
}

void source_stop(struct source *s, bool gone)
{
	struct telemetry *t = s->t;
	http_cancel(s->transfer);
	sd_event_source_disable_unref(s->timer);
	if (gone && s->log)
		applog_lives(s->log, s->who.machine, false);
	if (s->prev)
		s->prev->next = s->next;
	else
		t->sources = s->next;
	if (s->next)
		s->next->prev = s->prev;
	t->nsources--;
	free(s);
}

const char *source_machine(const struct source *s)
{
	return s->who.machine;
}

struct source *source_next(const struct source *s)
{
	return s->next;
}
