#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "control/control.h"
#include <sodium.h>

enum {
	REQUESTS_A_TURN = 32,
	AGAIN_US = 100 * 1000,
	TROUBLE_US = 1000 * 1000,
	TICK_US = 10 * 1000 * 1000,
	OUTCOME_KEPT_MS = 10 * 60 * 1000,
	OUTCOME_TURNS = 64,
};

static void make_fresh(struct fresh *f)
{
	f->wall_ms = clock_wall_ms();
	id_machine(f->machine);
	id_app(f->app);
	id_ulid(f->instance, f->wall_ms);
	f->random = randombytes_random();
}

static void work_in(struct control *c, uint64_t us)
{
	uint64_t at = 0, now = 0;
	int on = SD_EVENT_OFF;
	if (!c->work || sd_event_now(c->loop, CLOCK_MONOTONIC, &now) < 0)
		return;
	(void)sd_event_source_get_enabled(c->work, &on);
	(void)sd_event_source_get_time(c->work, &at);
	if (on != SD_EVENT_OFF && at <= now + us)
		return;
	(void)sd_event_source_set_time(c->work, now + us);
	(void)sd_event_source_set_enabled(c->work, SD_EVENT_ONESHOT);
}

void work_soon(struct control *c)
{
	work_in(c, 0);
}

/* Carries a decision out. False: not now (the view was old, or the store is away), or never (it
 * does not fit the store: *e says so). */
static bool carry_out(struct control *c, struct txn *t, const char *what, struct err *e)
{
	struct store_compare cmp[TXN_OPS_MAX + 1];
	struct store_op op[TXN_OPS_MAX];
	size_t ncmp = 0, nop = 0;
	/* Whoever has taken the lead since has decided on what we have not seen. */
	cmp[ncmp++] = (struct store_compare){ leader_key, c->leader_rev };
	for (size_t i = 0; i < t->n; i++) {
		const struct txn_op *o = &t->op[i];
		if (o->rev != TXN_ANY)
			cmp[ncmp++] = (struct store_compare){ o->key, o->rev };
		if (!o->only_compare)
			op[nop++] = (struct store_op){ o->value ? STORE_PUT : STORE_DELETE, o->key,
				o->value, 0 };
	}
	int64_t rev = 0;
	int r = store_txn(c->store, cmp, ncmp, op, nop, &rev, e);
	if (r == 0) {
		view_wrote(c, t, rev);
		return true;
	}
	if (e->code == ERR_CONFLICT) {
		work_in(c, AGAIN_US);
		return false;
	}
	log_err(e, "%s", what);
	/* It may have been written all the same: nothing more is decided before the views had time
	 * to show it. */
	c->trouble = true;
	work_in(c, TROUBLE_US);
	return false;
}

static bool can_never_be_written(const struct err *e)
{
	return e->code == ERR_TOO_LARGE || e->code == ERR_INVALID;
}

/* ---- requests ---- */

struct turn {
	struct control *c;
	unsigned done;
};

/* What cannot be decided, or is too large to be written at all, must still have an outcome: else it
 * would be tried for ever, and before all others. */
static bool refuse(
    struct control *c, const char *key, const char *id, int64_t rev, const struct err *why)
{
	struct txn t;
	char at[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(at, clock_wall_us());
	txn_init(&t);
	txn_require(&t, rev, "%s", key);
	txn_put(&t, 0,
	    json_pack("{s:i,s:i,s:s,s:s,s:s,s:s}", "v", RECORD_VERSION, "status",
		err_code_status(why->code), "error", why->text, "code", err_code_name(why->code),
		"next", err_next_step(why), "at", at),
	    "outcomes/%s", id);
	struct err e;
	bool ok = !t.failed && carry_out(c, &t, "cannot write an outcome", &e);
	txn_done(&t);
	return ok;
}

static bool has_outcome(struct control *c, const char *id)
{
	char key[TXN_KEY_MAX];
	snprintf(key, sizeof(key), "outcomes/%s", id);
	int64_t rev = 0;
	return store_view_get(c->outcomes, key, &rev) || json_object_get(c->own, key);
}

static bool fits(const struct txn *t, struct err *why)
{
	for (size_t i = 0; i < t->n; i++) {
		cleanup_free char *text = t->op[i].value ? json_format(t->op[i].value) : NULL;
		if (text && strlen(text) > TXN_VALUE_MAX) {
			(void)err_set(why, ERR_TOO_LARGE,
			    "the record would be %zu bytes; at most %d are kept", strlen(text),
			    TXN_VALUE_MAX);
			return false;
		}
	}
	return true;
}

static int do_request(void *arg, const char *key, json_t *value, int64_t rev)
{
	struct turn *turn = arg;
	struct control *c = turn->c;
	const char *id = key + strlen("requests/");
	if (has_outcome(c, id))
		return 0;
	if (turn->done++ >= REQUESTS_A_TURN)
		return 1;
	struct fresh fresh;
	struct txn t;
	struct err e = { 0 };
	make_fresh(&fresh);
	txn_init(&t);
	if (request_decide(&c->world, id, value, &fresh, &t, &e) < 0) {
		log_err(&e, "request %s", id);
		(void)refuse(c, key, id, rev, &e);
	} else if (!fits(&t, &e)) {
		(void)refuse(c, key, id, rev, &e);
	} else {
		txn_require(&t, rev, "%s", key);
		if (t.failed)
			(void)err_set(&e, ERR_TOO_LARGE,
			    "the request changes more than one transaction can hold");
		if ((t.failed || !carry_out(c, &t, "cannot carry out a request", &e)) &&
		    can_never_be_written(&e)) {
			c->trouble = false;
			(void)refuse(c, key, id, rev, &e);
		}
	}
	txn_done(&t);
	return c->trouble;
}

static void do_requests(struct control *c)
{
	struct turn turn = { c, 0 };
	if (store_view_each(c->requests, do_request, &turn) != 0 && !c->trouble)
		work_soon(c);
}

/* ---- deploys ---- */

static void do_deploys(struct control *c)
{
	uint64_t now = clock_mono_ms();
	for (size_t i = 0; i < c->world.napps && !c->trouble; i++) {
		struct world_app *a = c->world.apps[i];
		struct fresh fresh;
		struct txn t;
		struct err e = { 0 };
		uint64_t look = 0;
		if (!a->deploy)
			continue;
		make_fresh(&fresh);
		txn_init(&t);
		int r = deploy_decide(&c->world, a, now, &fresh, &t, &look, &e);
		if (r < 0)
			log_err(&e, "deploy %s", a->a.deploy);
		else if (t.n && carry_out(c, &t, "cannot move a deploy along", &e))
			work_soon(c);
		txn_done(&t);
		if (look)
			work_in(c, look > now ? (look - now) * 1000 : 1000);
	}
}

/* ---- housekeeping ---- */

struct expiring {
	struct control *c;
	struct txn t;
	unsigned turns;
};

/* One transaction full of them, or what is left at the end. */
static bool drop_expired(struct expiring *x)
{
	struct err e;
	bool ok =
	    x->t.n == 0 || (!x->t.failed && carry_out(x->c, &x->t, "cannot drop old outcomes", &e));
	txn_done(&x->t);
	return ok;
}

/* An outcome stays as long as its request: without it, the request would be decided once more. */
static int expire_outcome(void *arg, const char *key, json_t *value, int64_t rev)
{
	struct expiring *x = arg;
	char request[TXN_KEY_MAX];
	const char *at = json_string_value(json_object_get(value, "at"));
	uint64_t us = 0;
	if (at && clock_parse_rfc3339(at, &us) == 0 &&
	    clock_wall_ms() < us / 1000 + OUTCOME_KEPT_MS)
		return 0;
	snprintf(request, sizeof(request), "requests/%s", key + strlen("outcomes/"));
	if (store_view_get(x->c->requests, request, NULL))
		return 0;
	if (!txn_room(&x->t, 2) && (!drop_expired(x) || ++x->turns == OUTCOME_TURNS))
		return 1;
	txn_require(&x->t, 0, "%s", request);
	txn_delete(&x->t, rev, "%s", key);
	return 0;
}

static void do_sweep(struct control *c)
{
	struct fresh fresh;
	struct txn t;
	make_fresh(&fresh);
	txn_init(&t);
	sweep_decide(&c->world, &fresh, &t);
	struct err e;
	if (t.n && !t.failed && carry_out(c, &t, "cannot tidy up", &e))
		work_soon(c);
	txn_done(&t);
}

static void do_outcomes(struct control *c)
{
	struct expiring x = { .c = c };
	txn_init(&x.t);
	if (store_view_each(c->outcomes, expire_outcome, &x) == 0)
		(void)drop_expired(&x);
	txn_done(&x.t);
}

/* ---- the loop ---- */

static int on_work(sd_event_source *s, uint64_t usec, void *arg)
{
	struct control *c = arg;
	if (!c->leader)
		return 0;
	if (!view_ready(c)) {
		work_in(c, AGAIN_US);
		return 0;
	}
	c->trouble = false;
	do_requests(c);
	do_deploys(c);
	if (!c->trouble)
		do_sweep(c);
	return 0;
}

static int on_tick(sd_event_source *s, uint64_t usec, void *arg)
{
	struct control *c = arg;
	if (c->leader && view_ready(c))
		do_outcomes(c);
	work_soon(c);
	return sd_event_source_set_time_relative(s, TICK_US) < 0 ||
	       sd_event_source_set_enabled(s, SD_EVENT_ONESHOT) < 0;
}

int work_start(struct control *c, struct err *e)
{
	int r = sd_event_add_time_relative(c->loop, &c->work, CLOCK_MONOTONIC, 0, 1000, on_work, c);
	if (r >= 0)
		r = sd_event_add_time_relative(
		    c->loop, &c->tick, CLOCK_MONOTONIC, TICK_US, 0, on_tick, c);
	return r < 0 ? err_sys(e, -r, "cannot add a timer") : 0;
}

void work_stop(struct control *c)
{
	sd_event_source_unref(c->work);
	sd_event_source_unref(c->tick);
	c->work = c->tick = NULL;
}
