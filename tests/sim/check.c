/* What must hold at every step (safety), and in the end when left alone (liveness). */
#include "sim.h"

/* Is another machine of its group in routing and well? As control could know it. */
static bool another_serves(struct sim *s, const json_t *d, const char *but)
{
	const char *key;
	json_t *entry;
	json_object_foreach (s->store, key, entry) {
		const json_t *o = json_object_get(entry, "value");
		const char *id = json_string_value(json_object_get(o, "id"));
		if (!str_starts(key, "desired/") || streq(id, but) ||
		    json_is_true(json_object_get(o, "cordoned")) ||
		    !json_equal(json_object_get(o, "app"), json_object_get(d, "app")) ||
		    !json_equal(json_object_get(o, "group"), json_object_get(d, "group")))
			continue;
		if (streq(json_string_value(json_object_get(o, "want")), "started") &&
		    real_serves(s, id))
			return true;
	}
	return false;
}

static void check_desired(struct sim *s, const char *key, const json_t *next)
{
	const json_t *was = store_value(s, key, NULL);
	const char *id = json_string_value(json_object_get(next, "id"));
	if (!was) {
		if (json_object_get(s->dead, id))
			violate(s, "machine %s was destroyed and is made again", id);
		return;
	}
	const char *want_was = json_string_value(json_object_get(was, "want"));
	const char *want = json_string_value(json_object_get(next, "want"));
	if (streq(want_was, "destroyed") && !streq(want, "destroyed"))
		violate(s, "machine %s was to be destroyed and is wanted %s again", id, want);
	/* A rolling deploy's update: out of routing first, when somebody else is there to serve. */
	bool updates = json_object_get(next, "old") && !json_object_get(was, "old");
	bool awake = streq(want_was, "started") && real_serves(s, id);
	bool cordoned = json_is_true(json_object_get(was, "cordoned"));
	if (s->calm && updates && awake && !cordoned && another_serves(s, was, id))
		violate(s, "machine %s gets a new version while it is in routing", id);
}

void check_txn(struct sim *s, const struct txn *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct txn_op *op = &t->op[i];
		if (!op->value)
			continue;
		if (s->plant == PLANT_NO_CORDON && str_starts(op->key, "desired/") &&
		    json_is_true(json_object_get(op->value, "cordoned")))
			json_object_set_new(op->value, "cordoned", json_false());
		if (str_starts(op->key, "desired/"))
			check_desired(s, op->key, op->value);
		const char *status = json_string_value(json_object_get(op->value, "status"));
		if (strstr(op->key, "/deploys/") && status && streq(status, "succeeded")) {
			s->deploys_ok++;
			if (s->calm && !s->served_since)
				s->served_since = s->now;
		}
		if (strstr(op->key, "/deploys/") && status && streq(status, "failed"))
			s->deploys_failed++;
	}
}

void check_monitor_start(struct sim *s, struct sim_host *h, struct real *m)
{
	const char *missing = NULL;
	if (m->monitor_pid)
		violate(s, "%s %s: a second monitor (generation %u beside %u)", h->name, m->id,
		    m->r.generation, m->cage_generation);
	if (!m->folder)
		missing = "folder";
	else if (!m->has_disk || m->disk.step != STEP_MONITOR_ASKED ||
		 m->disk.generation != m->r.generation)
		missing = "record of the start";
	else if (!m->r.root[0])
		missing = "root disk";
	else if (!m->scratch || m->scratch_of != m->r.generation)
		missing = "fresh scratch disk";
	else if (!m->tap)
		missing = "tap";
	else if (m->link_generation != m->r.generation)
		missing = "run config";
	if (missing)
		violate(s, "%s %s: its monitor starts without its %s", h->name, m->id, missing);
	if (json_object_get(s->dead, m->id))
		violate(s, "%s %s: a destroyed machine starts", h->name, m->id);
	for (int i = 0; i < MACHINES_MAX; i++)
		if (&h->m[i] != m && h->m[i].used && h->m[i].cage && h->m[i].r.slot == m->r.slot &&
		    h->m[i].known)
			violate(
			    s, "%s: machines %s and %s share a uid", h->name, m->id, h->m[i].id);
}

/* Without faults, whatever is deployed: once served, always served. */
void check_served(struct sim *s)
{
	if (!s->calm || !s->served_since)
		return;
	const char *key;
	json_t *entry;
	json_object_foreach (s->store, key, entry) {
		const json_t *d = json_object_get(entry, "value");
		if (str_starts(key, "desired/") && !json_is_true(json_object_get(d, "cordoned")) &&
		    real_serves(s, json_string_value(json_object_get(d, "id"))))
			return;
	}
	violate(s, "nobody serves the app any more");
}

static void check_machine(struct sim *s, const char *key, const json_t *d)
{
	char okey[200];
	const char *want = json_string_value(json_object_get(d, "want"));
	const char *id = json_string_value(json_object_get(d, "id"));
	snprintf(okey, sizeof(okey), "observed/%s", key + strlen("desired/"));
	const json_t *o = store_value(s, okey, NULL);
	const char *state = json_string_value(json_object_get(o, "state"));
	if (!state) {
		violate(s, "machine %s was never heard of", id);
		return;
	}
	const char *behave =
	    json_string_value(json_object_get(json_object_get(d, "config"), "behave"));
	bool good = streq(behave, "good") || streq(behave, "sick") || streq(behave, "hang");
	if (streq(want, "destroyed") ? !streq(state, "destroyed")
	    : streq(want, "stopped") ? !(streq(state, "stopped") || streq(state, "created"))
	    : good                   ? !(streq(state, "started") || streq(state, "failed") ||
                         streq(state, "stopped") || streq(state, "destroyed"))
				     : streq(state, "stopping") || streq(state, "updating")) {
		for (int n = 0; n < HOSTS; n++) {
			struct real *m = real_find(&s->host[n], id);
			if (m)
				say(s,
				    "%s: step %s generation %u, running %d, monitor %d (seen %d), "
				    "link %d (seen %d, known %d), "
				    "phase %d of %u, busy %d, looks at %.1f",
				    id, machine_step_name(m->r.step), m->r.generation, m->r.running,
				    m->monitor_pid, m->saw_monitor, m->link_pid, m->saw_link,
				    m->link_known, m->phase, m->link_generation,
				    m->image_until != 0, (double)m->look_at / 1000);
		}
		violate(s, "machine %s (%s) is wanted %s and stays %s: %s", id, behave, want, state,
		    json_string_value(json_object_get(o, "reason")));
	}
	bool of_new =
	    json_equal(json_object_get(o, "instance_id"), json_object_get(d, "instance_id")) ||
	    json_equal(json_object_get(o, "failed_instance"), json_object_get(d, "instance_id"));
	if (streq(want, "started") && !of_new)
		violate(s, "machine %s never came to its new version", id);
}

void check_settled(struct sim *s)
{
	const char *key;
	json_t *entry;
	json_object_foreach (s->store, key, entry) {
		const json_t *v = json_object_get(entry, "value");
		if (str_starts(key, "requests/"))
			violate(s, "%s was never decided", key);
		if (str_starts(key, "desired/"))
			check_machine(s, key, v);
		const char *status = json_string_value(json_object_get(v, "status"));
		if (strstr(key, "/deploys/") && !streq(status, "succeeded") &&
		    !streq(status, "failed") && store_value(s, "", NULL) == NULL) {
			const json_t *app = NULL;
			char akey[80];
			snprintf(akey, sizeof(akey), "apps/%.16s/app", key + 5);
			app = store_value(s, akey, NULL);
			const char *under = json_string_value(json_object_get(app, "deploy"));
			if (under && streq(under, json_string_value(json_object_get(v, "id"))))
				violate(s, "%s is still %s", key, status);
		}
	}
	for (int n = 0; n < HOSTS; n++)
		for (int i = 0; i < MACHINES_MAX; i++) {
			struct real *m = &s->host[n].m[i];
			char dkey[160];
			snprintf(dkey, sizeof(dkey), "desired/%s/%s", s->host[n].name, m->id);
			const json_t *d = m->used ? store_value(s, dkey, NULL) : NULL;
			bool gone =
			    !d || streq(json_string_value(json_object_get(d, "want")), "destroyed");
			if (m->used && gone &&
			    (m->folder || m->tap || m->cage || m->monitor_pid || m->link_pid))
				violate(s, "%s %s: something of it is left (%s%s%s)",
				    s->host[n].name, m->id, m->folder ? "folder " : "",
				    m->tap ? "tap " : "", m->cage ? "cage" : "");
			bool stopped =
			    d && streq(json_string_value(json_object_get(d, "want")), "stopped");
			if (m->used && stopped && (m->tap || m->cage || m->scratch))
				violate(s, "%s %s: stopped, and yet a %s is there", s->host[n].name,
				    m->id,
				    m->tap    ? "tap"
				    : m->cage ? "cage"
					      : "scratch disk");
		}
}
