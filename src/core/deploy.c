#include "core/deploy.h"
#include "base/str.h"
#include "core/place.h"

struct deploying {
	const struct world *w;
	struct world_app *a;
	struct deploy next; /* the record as it will be */
	uint64_t now;
	const struct fresh *fresh;
	struct txn *t;
	uint64_t look;
};

/* ---- the ways ---- */

static const enum deploy_step way_create[] = { DSTEP_WAITING, DSTEP_APPLY, DSTEP_START, DSTEP_CHECK,
	DSTEP_UNCORDON, DSTEP_SETTLE, DSTEP_HOLD, DSTEP_DONE };
static const enum deploy_step way_update[] = { DSTEP_WAITING, DSTEP_CORDON, DSTEP_DRAIN,
	DSTEP_APPLY, DSTEP_START, DSTEP_CHECK, DSTEP_UNCORDON, DSTEP_SETTLE, DSTEP_HOLD,
	DSTEP_DONE };
static const enum deploy_step way_replace[] = { DSTEP_WAITING, DSTEP_APPLY, DSTEP_START,
	DSTEP_CHECK, DSTEP_UNCORDON, DSTEP_SETTLE, DSTEP_CORDON_OLD, DSTEP_DRAIN_OLD, DSTEP_HOLD,
	DSTEP_REMOVE, DSTEP_DONE };
static const enum deploy_step way_remove[] = { DSTEP_WAITING, DSTEP_HOLD, DSTEP_CORDON_OLD,
	DSTEP_DRAIN_OLD, DSTEP_REMOVE, DSTEP_DONE };
/* No waiting: strategy "immediate", and machines that are stopped. */
static const enum deploy_step way_quick[] = { DSTEP_WAITING, DSTEP_APPLY, DSTEP_UNCORDON,
	DSTEP_HOLD, DSTEP_DONE };

static const struct way {
	const enum deploy_step *step;
	size_t n;
} ways[] = {
	[DEPLOY_CREATE] = { way_create, countof(way_create) },
	[DEPLOY_UPDATE] = { way_update, countof(way_update) },
	[DEPLOY_REPLACE] = { way_replace, countof(way_replace) },
	[DEPLOY_REMOVE] = { way_remove, countof(way_remove) },
};
static const struct way quick = { way_quick, countof(way_quick) };

static const struct way *way_of(const struct deploy *d, const struct deploy_item *it)
{
	bool no_wait =
	    it->asleep ||
	    (d->immediate && (it->action == DEPLOY_CREATE || it->action == DEPLOY_UPDATE));
	return no_wait ? &quick : &ways[it->action];
}

static size_t place_on(const struct way *way, enum deploy_step s)
{
	size_t i = 0;
	while (i < way->n && way->step[i] != s)
		i++;
	return i;
}

/* ---- the machines ---- */

static struct world_machine *machine_of(const struct deploying *c, const char *id)
{
	struct world_machine *m = *id ? world_machine(c->w, id) : NULL;
	return m && m->d.want != WANT_DESTROYED ? m : NULL;
}

static bool checks_fresh(const struct world_machine *m)
{
	return m->has_checks && m->has_observed && streq(m->c.instance_id, m->d.instance_id) &&
	       m->c.generation == m->o.generation;
}

static bool healthy(const struct world_machine *m)
{
	if (!m->has_observed || m->o.state != MACHINE_STARTED ||
	    !streq(m->o.instance_id, m->d.instance_id))
		return false;
	return !m->d.has_checks || (checks_fresh(m) && m->c.total && m->c.passing == m->c.total);
}

/* Whether routing has somebody else when this one is taken out. */
static bool others_serve(const struct deploying *c, const struct world_machine *m)
{
	for (size_t i = 0; i < c->w->nmachines; i++) {
		const struct world_machine *o = c->w->machines[i];
		if (o != m && world_machine_counts(o, m->d.app, m->d.group) && !o->d.cordoned &&
		    healthy(o))
			return true;
	}
	return false;
}

static void put_machine(struct deploying *c, const struct world_machine *m, struct desired *d)
{
	fresh_time(d->updated_at, c->fresh);
	txn_put(c->t, m->rev, desired_format(d), "desired/%s/%s", m->host, m->id);
}

static void put_cordon(struct deploying *c, const struct world_machine *m, bool cordoned)
{
	if (m->d.cordoned == cordoned)
		return;
	struct desired d;
	desired_copy(&m->d, &d);
	d.cordoned = cordoned;
	put_machine(c, m, &d);
	desired_done(&d);
}

static void put_destroy(struct deploying *c, const struct world_machine *m)
{
	struct desired d;
	desired_copy(&m->d, &d);
	d.want = WANT_DESTROYED;
	d.stop_signal[0] = 0;
	d.stop_timeout_ms = 0;
	put_machine(c, m, &d);
	desired_done(&d);
}

/* ---- telling ---- */

static void tell(struct deploying *c, const char *type, const char *machine, const char *step,
    const char *fmt, ...) printf_like(5, 6);
static void tell(struct deploying *c, const char *type, const char *machine, const char *step,
    const char *fmt, ...)
{
	char text[320], at[CLOCK_RFC3339_SIZE];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fresh_time(at, c->fresh);
	struct deploy *d = &c->next;
	d->events++;
	txn_put(c->t, TXN_ANY,
	    json_pack("{s:i,s:I,s:s,s:s,s:s,s:s,s:s,s:s}", "v", RECORD_VERSION, "n",
		(json_int_t)d->events, "at", at, "type", type, "machine", machine, "step", step,
		"message", text, "status", deploy_status_name(d->status)),
	    "apps/%s/deploy-events/%s/%08lld", d->app, d->id, (long long)d->events);
}

static const char *step_text(const struct deploy_item *it)
{
	switch (it->step) {
	case DSTEP_CORDON:
	case DSTEP_CORDON_OLD: return "out of routing";
	case DSTEP_DRAIN:
	case DSTEP_DRAIN_OLD: return "letting its requests end";
	case DSTEP_APPLY:
		return it->action == DEPLOY_UPDATE ? "getting the new version" : "created";
	case DSTEP_START: return "starting";
	case DSTEP_CHECK: return "started; waiting for its checks";
	case DSTEP_UNCORDON: return "in service";
	case DSTEP_SETTLE: return "in service; letting routing learn of it";
	case DSTEP_HOLD:
		return it->action == DEPLOY_REMOVE ? "to be removed" : "runs the new version";
	case DSTEP_REMOVE:
		return it->action == DEPLOY_REPLACE ? "its predecessor is removed" : "removed";
	case DSTEP_UNDO: return "to be put back";
	case DSTEP_UNDO_APPLY: return "getting the old version back";
	case DSTEP_UNDONE: return "put back";
	default: return deploy_step_name(it->step);
	}
}

/* ---- the end, and turning around ---- */

static void put_release(struct deploying *c, const char *status)
{
	char name[16];
	snprintf(name, sizeof(name), "%08lld", (long long)c->next.release);
	const json_t *entry = json_object_get(c->a->releases, name);
	const json_t *record = json_object_get(entry, "record");
	const char *now = json_string_value(json_object_get(record, "status"));
	if (!now || !streq(now, "running"))
		return; /* a change of count: the release stands as it was */
	json_t *copy = json_copy((json_t *)(uintptr_t)record);
	json_object_set_new(copy, "status", json_string(status));
	json_object_set_new(copy, "reason", json_string(c->next.reason));
	txn_put(c->t, json_integer_value(json_object_get(entry, "rev")), copy,
	    "apps/%s/releases/%s", c->next.app, name);
}

static void finish(struct deploying *c, enum deploy_status status)
{
	c->next.status = status;
	put_release(c, deploy_status_name(status));
	struct app app = c->a->a;
	app.deploy[0] = 0;
	if (status == DEPLOY_SUCCEEDED)
		app.status = APP_DEPLOYED;
	txn_put(c->t, c->a->rev, app_format(&app), "apps/%s/app", app.id);
	tell(c, "done", "", deploy_status_name(status), "%s",
	    status == DEPLOY_SUCCEEDED ? "every machine runs the new version" : c->next.reason);
}

static void fail(struct deploying *c, const char *machine, const char *fmt, ...) printf_like(3, 4);
static void fail(struct deploying *c, const char *machine, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(c->next.reason, sizeof(c->next.reason), fmt, ap);
	va_end(ap);
	c->next.status = DEPLOY_ROLLING_BACK;
	tell(c, "failed", machine, "failed", "%s; putting back what was changed", c->next.reason);
}

/* ---- forward ---- */

static const json_t *group_of(const struct deploying *c, const char *name)
{
	const json_t *list = json_object_get(world_release(c->a, c->next.release), "groups");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *g = json_array_get(list, i);
		const char *n = json_string_value(json_object_get(g, "name"));
		if (n && streq(n, name))
			return g;
	}
	return NULL;
}

static int apply_create(struct deploying *c, struct deploy_item *it, json_t *config, struct err *e)
{
	struct desired d;
	char host[NAME_MAX_LEN + 1];
	const struct world_machine *old = machine_of(c, it->old);
	int r = deploy_make_machine(c->w, &c->a->a, it->group, "", old ? old->d.region : "", config,
	    c->next.release, c->fresh, &d, host, e);
	if (r < 0)
		return r;
	d.cordoned = true; /* into routing when its checks have passed */
	str_copy(it->machine, sizeof(it->machine), d.id);
	txn_put(c->t, 0, desired_format(&d), "desired/%s/%s", host, d.id);
	desired_done(&d);
	return 0;
}

static int apply_update(struct deploying *c, struct world_machine *m, json_t *config, struct err *e)
{
	struct desired d;
	if (!m)
		return err_set(e, ERR_NOT_FOUND, "the machine is not there any more");
	desired_copy(&m->d, &d);
	int r = desired_set_config(&d, config, e);
	if (r == 0)
		r = place_resize(c->w, m, &d.size, e);
	if (r < 0) {
		desired_done(&d);
		return r;
	}
	json_decref(d.old);
	d.old =
	    json_pack("{s:O,s:s,s:I,s:I}", "config", m->d.config, "instance_id", m->d.instance_id,
		"version", (json_int_t)m->d.version, "release", (json_int_t)m->d.release);
	memcpy(d.instance_id, c->fresh->instance, sizeof(d.instance_id));
	d.version++;
	d.release = c->next.release;
	put_machine(c, m, &d);
	desired_done(&d);
	return 0;
}

static void apply(struct deploying *c, struct deploy_item *it, struct world_machine *m)
{
	struct err e = { 0 };
	json_t *config = json_object_get(group_of(c, it->group), "config");
	int r = 0;
	if (!config)
		r = err_set(&e, ERR_INTERNAL, "release %lld has no process group %s",
		    (long long)c->next.release, it->group);
	else if (it->action == DEPLOY_UPDATE)
		r = apply_update(c, m, config, &e);
	else
		r = apply_create(c, it, config, &e);
	if (r < 0)
		fail(c, it->machine, "%.200s", e.text);
}

static void drop_old(struct deploying *c, struct world_machine *m)
{
	if (!m || !m->d.old)
		return;
	struct desired d;
	desired_copy(&m->d, &d);
	json_decref(d.old);
	d.old = NULL;
	put_machine(c, m, &d);
	desired_done(&d);
}

/* Writes what being in a step means, in the transaction that records the step. */
static void enter(struct deploying *c, struct deploy_item *it)
{
	struct world_machine *m = machine_of(c, it->machine), *old = machine_of(c, it->old);
	struct world_machine *leaving = it->action == DEPLOY_REPLACE ? old : m;
	switch (it->step) {
	case DSTEP_CORDON:
		if (m && others_serve(c, m))
			put_cordon(c, m, true);
		break;
	case DSTEP_CORDON_OLD:
		if (leaving)
			put_cordon(c, leaving, true);
		break;
	case DSTEP_APPLY: apply(c, it, m); break;
	case DSTEP_UNCORDON:
		if (m)
			put_cordon(c, m, false);
		break;
	case DSTEP_REMOVE:
		if (leaving)
			put_destroy(c, leaving);
		break;
	case DSTEP_DONE: drop_old(c, m); break;
	default: break;
	}
}

static bool waited(struct deploying *c, int64_t ms)
{
	uint64_t until = c->a->deploy->since_ms + (uint64_t)ms;
	if (c->now >= until)
		return true;
	if (!c->look || until < c->look)
		c->look = until;
	return false;
}

static bool has_ended(enum machine_state s)
{
	return s == MACHINE_FAILED || s == MACHINE_STOPPED || s == MACHINE_DESTROYING ||
	       s == MACHINE_DESTROYED;
}

/* Whether the machine's new version cannot come up; fills why. */
static bool broken(const struct world_machine *m, char why[REASON_MAX])
{
	if (!m->has_observed)
		return false;
	const struct observed *o = &m->o;
	bool of_new = streq(o->instance_id, m->d.instance_id);
	if (streq(o->failed_instance, m->d.instance_id)) {
		snprintf(why, REASON_MAX, "machine %s cannot run it: %.180s", m->id, o->reason);
		return true;
	}
	if (of_new && (has_ended(o->state) || o->restarts > 0)) {
		snprintf(why, REASON_MAX, "machine %s: %.180s", m->id,
		    o->reason[0] ? o->reason : "the app exited");
		return true;
	}
	return false;
}

static bool wait_start(struct deploying *c, struct world_machine *m)
{
	char why[REASON_MAX];
	if (!m)
		return false; /* step_item has told that it vanished */
	if (broken(m, why))
		fail(c, m->id, "%s", why);
	else if (m->has_observed && m->o.state == MACHINE_STARTED &&
		 streq(m->o.instance_id, m->d.instance_id))
		return true;
	else if (waited(c, c->next.wait_timeout_ms))
		fail(c, m->id, "machine %s did not start within %lld seconds%s%.150s", m->id,
		    (long long)c->next.wait_timeout_ms / 1000,
		    m->has_observed && m->o.reason[0] ? ": " : "",
		    m->has_observed ? m->o.reason : "");
	return false;
}

static bool wait_checks(struct deploying *c, struct world_machine *m)
{
	char why[REASON_MAX];
	if (!m)
		return false;
	if (broken(m, why)) {
		fail(c, m->id, "%s", why);
		return false;
	}
	if (healthy(m) && (m->d.has_checks || waited(c, DEPLOY_SMOKE_MS)))
		return true;
	if (waited(c, c->next.wait_timeout_ms))
		fail(c, m->id,
		    "machine %s: its checks did not all pass within %lld seconds (%.120s)", m->id,
		    (long long)c->next.wait_timeout_ms / 1000,
		    checks_fresh(m) && m->c.worst[0] ? m->c.worst : "no result");
	return false;
}

static bool may_leave(struct deploying *c, struct deploy_item *it)
{
	struct world_machine *m = machine_of(c, it->machine);
	switch (it->step) {
	case DSTEP_DRAIN: return !m || !m->d.cordoned || waited(c, DEPLOY_DRAIN_MS);
	case DSTEP_DRAIN_OLD: return waited(c, DEPLOY_DRAIN_MS);
	case DSTEP_SETTLE: return waited(c, DEPLOY_SETTLE_MS);
	case DSTEP_START: return wait_start(c, m);
	case DSTEP_CHECK: return wait_checks(c, m);
	default: return true;
	}
}

static void move_to(struct deploying *c, struct deploy_item *it, enum deploy_step step)
{
	it->step = step;
	enter(c, it);
	if (c->next.status == DEPLOY_RUNNING || step >= DSTEP_UNDO)
		tell(c, "machine", it->machine[0] ? it->machine : it->old, deploy_step_name(step),
		    "%s", step_text(it));
}

/* It was there when the deploy was planned, or the deploy made it; somebody has destroyed it since.
 */
static bool vanished(const struct deploying *c, const struct deploy_item *it)
{
	return it->machine[0] && !machine_of(c, it->machine);
}

static void step_item(struct deploying *c, struct deploy_item *it)
{
	const struct way *way = way_of(&c->next, it);
	if (vanished(c, it)) {
		/* In the second phase there is no way back: what old machines went are gone. */
		bool second = place_on(way, it->step) >= place_on(way, DSTEP_HOLD);
		bool untouched = place_on(way, it->step) < place_on(way, DSTEP_APPLY);
		if (second || untouched || it->action == DEPLOY_REMOVE)
			move_to(c, it, second ? DSTEP_DONE : DSTEP_HOLD);
		else
			fail(c, it->machine, "machine %s was destroyed meanwhile", it->machine);
		return;
	}
	if (!may_leave(c, it))
		return;
	move_to(c, it, way->step[place_on(way, it->step) + 1]);
}

/* Every machine that this deploy has brought up must stay up while it goes on to the next. */
static bool one_broke(struct deploying *c)
{
	for (size_t i = 0; i < c->next.nitems; i++) {
		struct deploy_item *it = &c->next.item[i];
		const struct way *way = way_of(&c->next, it);
		struct world_machine *m = machine_of(c, it->machine);
		char why[REASON_MAX];
		if (way == &quick || it->action == DEPLOY_REMOVE || !m ||
		    m->d.want != WANT_STARTED ||
		    place_on(way, it->step) <= place_on(way, DSTEP_APPLY) || it->step == DSTEP_DONE)
			continue;
		if (broken(m, why)) {
			fail(c, m->id, "%s", why);
			return true;
		}
	}
	return false;
}

static bool second_phase(const struct deploying *c)
{
	for (size_t i = 0; i < c->next.nitems; i++) {
		const struct deploy_item *it = &c->next.item[i];
		const struct way *way = way_of(&c->next, it);
		if (place_on(way, it->step) > place_on(way, DSTEP_HOLD))
			return true;
	}
	return false;
}

static void forward(struct deploying *c)
{
	if (!second_phase(c) && one_broke(c))
		return;
	for (size_t i = 0; i < c->next.nitems; i++) {
		struct deploy_item *it = &c->next.item[i];
		const struct way *way = way_of(&c->next, it);
		if (place_on(way, it->step) < place_on(way, DSTEP_HOLD)) {
			step_item(c, it);
			return;
		}
	}
	for (size_t i = 0; i < c->next.nitems; i++)
		if (c->next.item[i].step != DSTEP_DONE) {
			step_item(c, &c->next.item[i]);
			return;
		}
	finish(c, DEPLOY_SUCCEEDED);
}

/* ---- back ---- */

static int restore(struct deploying *c, struct world_machine *m, bool cordoned)
{
	struct desired d;
	struct err e;
	desired_copy(&m->d, &d);
	json_t *old = m->d.old;
	int r = desired_set_config(&d, json_object_get(old, "config"), &e);
	if (r == 0)
		r = record_need_text(old, "instance_id", d.instance_id, sizeof(d.instance_id), &e);
	d.version = json_integer_value(json_object_get(old, "version"));
	d.release = json_integer_value(json_object_get(old, "release"));
	d.cordoned = cordoned;
	json_decref(d.old);
	d.old = NULL;
	/* It may have ended as failed under this very order; then only a new start gets it going.
	 */
	d.start_seq++;
	if (r == 0)
		put_machine(c, m, &d);
	desired_done(&d);
	return r;
}

static void undo_made(struct deploying *c, struct deploy_item *it)
{
	struct world_machine *m = machine_of(c, it->machine), *old = machine_of(c, it->old);
	if (m && it->action == DEPLOY_REMOVE)
		put_cordon(c, m, false);
	else if (m)
		put_destroy(c, m);
	if (old)
		put_cordon(c, old, false);
	move_to(c, it, DSTEP_UNDONE);
}

static void undo_update(struct deploying *c, struct deploy_item *it)
{
	struct world_machine *m = machine_of(c, it->machine);
	if (!m) {
		move_to(c, it, DSTEP_UNDONE);
		return;
	}
	if (it->step == DSTEP_UNDO_APPLY) {
		if (!healthy(m) && !it->asleep && !waited(c, DEPLOY_UNDO_MS))
			return;
		put_cordon(c, m, false);
		move_to(c, it, DSTEP_UNDONE);
		return;
	}
	if (!m->d.old) { /* nothing but the cordon was changed */
		put_cordon(c, m, false);
		move_to(c, it, DSTEP_UNDONE);
		return;
	}
	if (it->step != DSTEP_UNDO) {
		if (others_serve(c, m))
			put_cordon(c, m, true);
		move_to(c, it, DSTEP_UNDO);
		return;
	}
	if (m->d.cordoned && healthy(m) && !waited(c, DEPLOY_DRAIN_MS))
		return;
	if (restore(c, m, m->d.cordoned) < 0) {
		c->t->failed = true;
		return;
	}
	move_to(c, it, DSTEP_UNDO_APPLY);
}

static void back(struct deploying *c)
{
	for (size_t i = c->next.nitems; i-- > 0;) {
		struct deploy_item *it = &c->next.item[i];
		if (it->step == DSTEP_WAITING || it->step == DSTEP_UNDONE)
			continue;
		if (it->action == DEPLOY_UPDATE)
			undo_update(c, it);
		else
			undo_made(c, it);
		return;
	}
	finish(c, DEPLOY_FAILED);
}

int deploy_decide(const struct world *w, struct world_app *a, uint64_t now,
    const struct fresh *fresh, struct txn *t, uint64_t *ret_look_ms, struct err *e)
{
	*ret_look_ms = 0;
	if (!a->deploy ||
	    (a->deploy->status != DEPLOY_RUNNING && a->deploy->status != DEPLOY_ROLLING_BACK))
		return 0;
	/* A clock that went back is another clock: begin to wait anew. */
	if (!a->deploy->since_ms || now < a->deploy->since_ms)
		a->deploy->since_ms = now ? now : 1;
	struct deploying c = { w, a, *a->deploy, now, fresh, t, 0 };
	if (a->deploy->status == DEPLOY_RUNNING)
		forward(&c);
	else
		back(&c);
	*ret_look_ms = c.look;
	if (!t->n && !t->failed)
		return 0;
	txn_put(
	    t, a->deploy_rev, deploy_format(&c.next), "apps/%s/deploys/%s", c.next.app, c.next.id);
	return t->failed
		   ? err_set(e, ERR_INTERNAL, "the deploy's next step does not fit a transaction")
		   : 0;
}
