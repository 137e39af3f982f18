/* Housekeeping by control (core/request.h): what a deleted app leaves, and machines that are gone.
 */
#include "base/str.h"
#include "core/request.h"

static void want_destroyed(const struct world_machine *m, const struct fresh *fresh, struct txn *t)
{
	struct desired d;
	desired_copy(&m->d, &d);
	d.want = WANT_DESTROYED;
	fresh_time(d.updated_at, fresh);
	txn_put(t, m->rev, desired_format(&d), "desired/%s/%s", m->host, m->id);
	desired_done(&d);
}

/* A machine that its host has destroyed: its record stays a while, so that whoever waits for the
 * end can see it. */
static void sweep_machines(const struct world *w, const struct fresh *fresh, struct txn *t)
{
	for (size_t i = 0; i < w->nmachines && txn_room(t, 1); i++) {
		const struct world_machine *m = w->machines[i];
		if (!m->has_desired || !m->has_observed || m->o.state != MACHINE_DESTROYED)
			continue;
		if (m->d.want != WANT_DESTROYED) { /* auto_destroy: it went by itself */
			want_destroyed(m, fresh, t);
			continue;
		}
		struct world_app *a = world_app(w, m->d.app);
		bool deleting = !a || a->a.status == APP_DELETING;
		if (deleting || fresh->wall_ms >= m->o.updated_at_ms + SWEEP_DESTROYED_MS)
			txn_delete(t, m->rev, "desired/%s/%s", m->host, m->id);
	}
}

static size_t sweep_machines_of(
    const struct world *w, const struct world_app *a, const struct fresh *fresh, struct txn *t)
{
	size_t left = 0;
	for (size_t i = 0; i < w->nmachines; i++) {
		const struct world_machine *m = w->machines[i];
		if (!m->has_desired || !streq(m->d.app, a->id))
			continue;
		left++;
		if (m->d.want != WANT_DESTROYED && txn_room(t, 1))
			want_destroyed(m, fresh, t);
	}
	return left;
}

/* A deploy and its events. False: not all of it fits; the rest in the next round. */
static bool sweep_deploy(const struct world_app *a, const char *name, json_t *record, struct txn *t)
{
	int64_t n = json_integer_value(json_object_get(record, "events"));
	for (; n > 0 && txn_room(t, 2); n--)
		txn_delete(
		    t, TXN_ANY, "apps/%s/deploy-events/%s/%08lld", a->id, name, (long long)n);
	if (!txn_room(t, 1))
		return false;
	if (n > 0) {
		json_t *copy = json_copy(record);
		json_object_set_new(copy, "events", json_integer(n));
		txn_put(t, TXN_ANY, copy, "apps/%s/deploys/%s", a->id, name);
		return false;
	}
	txn_delete(t, TXN_ANY, "apps/%s/deploys/%s", a->id, name);
	return true;
}

static void sweep_records(const struct world_app *a, struct txn *t)
{
	const char *name;
	json_t *v;
	json_object_foreach (a->deploys, name, v) {
		if (!sweep_deploy(a, name, json_object_get(v, "record"), t))
			return;
	}
	json_object_foreach (a->releases, name, v) {
		if (!txn_room(t, 2))
			return;
		txn_delete(t, TXN_ANY, "apps/%s/releases/%s", a->id, name);
	}
	txn_delete(t, a->rev, "apps/%s/app", a->id);
}

/* The oldest by name (ULIDs and padded numbers sort by age), but never `keep`. */
static const char *oldest(json_t *of, const char *keep)
{
	const char *found = NULL, *name;
	json_t *v;
	json_object_foreach (of, name, v) {
		if (!streq(name, keep) && (!found || strcmp(name, found) < 0))
			found = name;
	}
	return found;
}

/* History has a bound: the oldest deploys and releases go. */
static void sweep_history(const struct world_app *a, struct txn *t)
{
	if (json_object_size(a->deploys) > SWEEP_DEPLOYS_KEPT) {
		const char *name = oldest(a->deploys, a->a.deploy);
		if (name)
			(void)sweep_deploy(a, name,
			    json_object_get(json_object_get(a->deploys, name), "record"), t);
	}
	if (t->n || json_object_size(a->releases) <= SWEEP_RELEASES_KEPT)
		return;
	/* Never the present one: the next rollback or change of count stands on it. */
	char present[16];
	snprintf(present, sizeof(present), "%08lld", (long long)world_present_release(a));
	const char *name = oldest(a->releases, present);
	if (name)
		txn_delete(t, TXN_ANY, "apps/%s/releases/%s", a->id, name);
}

void sweep_decide(const struct world *w, const struct fresh *fresh, struct txn *t)
{
	for (size_t i = 0; i < w->napps && !t->n; i++) {
		const struct world_app *a = w->apps[i];
		if (!a->rev || a->a.status != APP_DELETING)
			continue;
		if (!sweep_machines_of(w, a, fresh, t))
			sweep_records(a, t);
	}
	if (!t->n)
		sweep_machines(w, fresh, t);
	for (size_t i = 0; i < w->napps && !t->n; i++)
		if (w->apps[i]->rev)
			sweep_history(w->apps[i], t);
}
