/* The control plane's side: the store, control, the API that asks at random, the edge that checks.
 */
#include "sim.h"

/* ---- the store ---- */

json_t *store_value(struct sim *s, const char *key, int64_t *ret_rev)
{
	json_t *entry = json_object_get(s->store, key);
	if (ret_rev)
		*ret_rev = json_integer_value(json_object_get(entry, "rev"));
	return json_object_get(entry, "value");
}

void store_put_now(struct sim *s, const char *key, json_t *value)
{
	json_object_set_new(
	    s->store, key, json_pack("{s:o,s:I}", "value", value, "rev", (json_int_t)++s->rev));
}

void store_delete_now(struct sim *s, const char *key)
{
	s->rev++;
	json_object_del(s->store, key);
}

static bool store_apply(struct sim *s, const struct txn *t)
{
	for (size_t i = 0; i < t->n; i++) {
		int64_t rev = 0;
		(void)store_value(s, t->op[i].key, &rev);
		if (t->op[i].rev != TXN_ANY && t->op[i].rev != rev)
			return false;
	}
	check_txn(s, t);
	s->rev++;
	for (size_t i = 0; i < t->n; i++) {
		const struct txn_op *op = &t->op[i];
		if (op->only_compare)
			continue;
		if (op->value)
			json_object_set_new(s->store, op->key,
			    json_pack("{s:O,s:I}", "value", op->value, "rev", (json_int_t)s->rev));
		else
			json_object_del(s->store, op->key);
	}
	return true;
}

/* ---- control ---- */

static void control_set(struct sim *s, const char *key, const json_t *value, int64_t rev)
{
	struct err e;
	if (world_set(&s->world, key, value, rev, &e) < 0)
		violate(s, "control cannot read %s: %s", key, e.text);
	if (value)
		json_object_set_new(s->seen, key, json_integer(rev));
	else
		json_object_del(s->seen, key);
}

static void control_view(struct sim *s, bool whole)
{
	const char *key;
	json_t *entry, *rev;
	void *tmp;
	if (whole)
		json_object_foreach_safe(s->seen, tmp, key, rev)
		{
			if (!json_object_get(s->store, key)) {
				char copy[256];
				str_copy(copy, sizeof(copy), key);
				control_set(s, copy, NULL, 0);
			}
		}
	json_object_foreach (s->store, key, entry) {
		int64_t at = json_integer_value(json_object_get(entry, "rev"));
		if (json_integer_value(json_object_get(s->seen, key)) == at ||
		    (!whole && chance(s, 40)))
			continue;
		control_set(s, key, json_object_get(entry, "value"), at);
	}
}

static void control_crash(struct sim *s)
{
	if (!s->control_up)
		return;
	say(s, "control dies");
	s->crashes++;
	s->control_up = false;
	s->control_back = s->now + 300 + rnd(s, 15000);
	world_done(&s->world);
	json_object_clear(s->seen);
}

static void control_return(struct sim *s)
{
	struct err e;
	say(s, "control is back");
	s->control_up = true;
	s->control_epoch =
	    s->now - rnd(s, 100000) % (s->now + 1); /* its monotonic clock is another one */
	if (world_init(&s->world, &e) < 0)
		violate(s, "no memory");
	control_view(s, true);
}

/* Carries it out; false when control died over it. */
static bool carry_out(struct sim *s, struct txn *t)
{
	if (s->chaos && chance(s, 2)) {
		control_crash(s);
		return false;
	}
	if (!store_apply(s, t))
		return true; /* its view was old */
	if (s->chaos && chance(s, 2)) {
		control_crash(s);
		return false;
	}
	for (size_t i = 0; i < t->n; i++)
		if (!t->op[i].only_compare)
			control_set(s, t->op[i].key, t->op[i].value, s->rev);
	return true;
}

static void do_requests(struct sim *s)
{
	const char *key;
	json_t *entry;
	void *tmp;
	json_object_foreach_safe(s->store, tmp, key, entry)
	{
		char outcome[80], name[80];
		if (!str_starts(key, "requests/"))
			continue;
		str_copy(name, sizeof(name), key);
		snprintf(outcome, sizeof(outcome), "outcomes/%s", key + 9);
		if (store_value(s, outcome, NULL))
			continue;
		struct fresh fresh = draw_fresh(s);
		struct err e;
		static struct txn t;
		txn_init(&t);
		int r = request_decide(
		    &s->world, name + 9, json_object_get(entry, "value"), &fresh, &t, &e);
		if (r < 0)
			violate(s, "request %s: %s", name, e.text);
		bool alive = r < 0 || carry_out(s, &t);
		txn_done(&t);
		if (!alive)
			return;
	}
}

static void do_deploys(struct sim *s)
{
	for (size_t i = 0; s->control_up && i < s->world.napps; i++) {
		struct world_app *a = s->world.apps[i];
		struct fresh fresh = draw_fresh(s);
		struct err e;
		static struct txn t;
		uint64_t look = 0;
		txn_init(&t);
		int r = deploy_decide(
		    &s->world, a, s->now - s->control_epoch + 1, &fresh, &t, &look, &e);
		if (r < 0)
			violate(s, "deploy of %s: %s", a->a.name, e.text);
		if (r == 0 && t.n) {
			for (size_t n = 0; n < t.n; n++)
				if (strstr(t.op[n].key, "/deploy-events/"))
					say(s, "deploy of %s: %s %s", a->a.name,
					    json_string_value(
						json_object_get(t.op[n].value, "machine")),
					    json_string_value(
						json_object_get(t.op[n].value, "message")));
			(void)carry_out(s, &t);
		}
		txn_done(&t);
	}
}

static void do_sweep(struct sim *s)
{
	static struct txn t;
	struct fresh fresh = draw_fresh(s);
	txn_init(&t);
	sweep_decide(&s->world, &fresh, &t);
	if (t.n)
		(void)carry_out(s, &t);
	txn_done(&t);
}

void plane_tick(struct sim *s)
{
	if (!s->control_up) {
		if (s->now >= s->control_back)
			control_return(s);
		return;
	}
	if (s->chaos && rnd(s, 1000) < 4)
		control_crash(s);
	if (!s->control_up || !chance(s, 50))
		return;
	control_view(s, !s->chaos || chance(s, 30));
	do_requests(s);
	if (s->control_up)
		do_deploys(s);
	if (s->control_up && chance(s, 10))
		do_sweep(s);
}

/* ---- the edge's checks ---- */

void edge_tick(struct sim *s)
{
	for (int n = 0; n < HOSTS; n++)
		for (int i = 0; i < MACHINES_MAX; i++) {
			struct real *m = &s->host[n].m[i];
			char key[160], ok[160];
			if (!m->used || !chance(s, 10))
				continue;
			snprintf(key, sizeof(key), "observed/%s/%s", s->host[n].name, m->id);
			snprintf(ok, sizeof(ok), "observed/%s/checks/%s", s->host[n].name, m->id);
			const json_t *o = store_value(s, key, NULL);
			const char *state = json_string_value(json_object_get(o, "state"));
			if (!state || !streq(state, "started")) {
				if (store_value(s, ok, NULL))
					store_delete_now(s, ok);
				continue;
			}
			bool up = real_serves(s, m->id);
			store_put_now(s, ok,
			    json_pack("{s:i,s:O,s:O,s:[{s:s,s:s,s:s}]}", "v", 1, "instance_id",
				json_object_get(o, "instance_id"), "generation",
				json_object_get(o, "generation"), "checks", "name", "http",
				"status", up ? "passing" : "critical", "output",
				up ? "200" : "no answer"));
		}
}

/* ---- the API ---- */

static void ask(struct sim *s, const char *kind, const char *app, const char *machine, json_t *body)
{
	char key[64];
	struct fresh f = draw_fresh(s);
	s->requests++;
	snprintf(key, sizeof(key), "requests/%s", f.instance);
	say(s, "request %s: %s %s %s", f.instance, kind, app, machine);
	store_put_now(s, key,
	    json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:o}", "v", 1, "id", f.instance, "kind", kind,
		"actor", "sim", "app", app, "machine", machine, "body", body));
}

static json_t *draw_config(struct sim *s, bool good)
{
	static const char *const bad[] = { "crash", "job", "hang", "noboot", "sick", "noimage",
		"good", "good", "good" };
	static const char *const policies[] = { "no", "on-failure", "always" };
	const char *behave = good ? "good" : bad[rnd(s, countof(bad))];
	/* What comes up well and ends later by itself no deploy can keep serving. */
	if (s->calm && streq(behave, "job"))
		behave = "sick";
	json_t *c = json_pack("{s:s,s:s,s:{s:s,s:i},s:{s:i}}", "image", "docker://x", "behave",
	    behave, "restart", "policy", policies[good ? 1 : rnd(s, 3)], "max_retries",
	    (int)(1 + rnd(s, 4)), "guest", "memory_mb", 256);
	if (chance(s, good || s->calm ? 100 : 70)) {
		json_object_set_new(c, "services", json_pack("[{s:i}]", "internal_port", 8080));
		json_object_set_new(c, "checks", json_pack("{s:{s:s}}", "http", "type", "http"));
	}
	if (!good && !s->calm && chance(s, 10))
		json_object_set_new(c, "auto_destroy", json_true());
	return c;
}

static const char *any_key(struct sim *s, const char *prefix, const char *suffix)
{
	const char *found = NULL, *key;
	json_t *v;
	uint64_t n = 0;
	json_object_foreach (s->store, key, v) {
		if (str_starts(key, prefix) && str_ends(key, suffix) && rnd(s, ++n) == 0)
			found = key;
	}
	return found;
}

static void ask_deploy(struct sim *s, const char *app, bool good)
{
	json_t *body = json_pack("{s:s,s:i,s:[{s:s,s:o}]}", "strategy",
	    !good && !s->calm && chance(s, 15) ? "immediate" : "rolling", "wait_timeout_ms", 40000,
	    "groups", "name", "app", "config", draw_config(s, good || chance(s, 40)));
	json_t *g = json_array_get(json_object_get(body, "groups"), 0);
	if (s->calm)
		json_object_set_new(g, "count", json_integer(2));
	else if (chance(s, 50))
		json_object_set_new(g, "count", json_integer((json_int_t)(1 + rnd(s, 3))));
	ask(s, "deploy.create", app, "", body);
}

static void ask_machine(struct sim *s, const char *app, const char *machine)
{
	static const char *const kinds[] = { "machine.start", "machine.stop", "machine.restart",
		"machine.cordon", "machine.uncordon", "machine.destroy", "machine.update" };
	const char *kind = kinds[rnd(s, countof(kinds))];
	json_t *body = json_object();
	if (streq(kind, "machine.destroy"))
		json_object_set_new(body, "force", json_boolean(chance(s, 50)));
	if (streq(kind, "machine.update"))
		json_object_set_new(body, "config", draw_config(s, false));
	ask(s, kind, app, machine, body);
}

static void take_outcomes(struct sim *s)
{
	const char *key;
	json_t *v;
	void *tmp;
	json_object_foreach_safe(s->store, tmp, key, v)
	{
		char id[40], request[64], outcome[64];
		if (!str_starts(key, "outcomes/"))
			continue;
		str_copy(id, sizeof(id), key + 9);
		if (json_integer_value(json_object_get(json_object_get(v, "value"), "status")) >=
		    400)
			s->refused++;
		snprintf(request, sizeof(request), "requests/%s", id);
		snprintf(outcome, sizeof(outcome), "outcomes/%s", id);
		store_delete_now(s, request);
		store_delete_now(s, outcome);
	}
}

void api_tick(struct sim *s)
{
	take_outcomes(s);
	if (!s->chaos && !s->calm)
		return;
	char app[40] = "", machine[MACHINE_ID_LEN + 1] = "";
	const char *key = any_key(s, "apps/", "/app");
	if (key)
		snprintf(app, sizeof(app), "%.16s", key + 5);
	if (s->calm) {
		if (!key && s->now < 1000)
			ask(s, "app.create", "", "",
			    json_pack("{s:s,s:s}", "name", "calm", "org", "o"));
		else if (key && rnd(s, 400) == 0)
			ask_deploy(s, app, s->served_since == 0);
		return;
	}
	if (rnd(s, 100) >= 3)
		return;
	char name[16];
	unsigned what = (unsigned)rnd(s, 20);
	snprintf(name, sizeof(name), "app-%u", (unsigned)rnd(s, 4));
	if (!key || what == 0)
		ask(s, "app.create", "", "",
		    json_pack("{s:s,s:s}", "name", name, "org", chance(s, 50) ? "a" : "b"));
	else if (what == 1 && chance(s, 30))
		ask(s, "app.delete", app, "", json_object());
	else if (what < 5)
		ask_deploy(s, app, false);
	else if (what == 5)
		ask(s, "scale", app, "", json_pack("{s:i}", "count", (int)rnd(s, 4)));
	else if (what == 6)
		ask(s, "release.rollback", app, "", json_object());
	else if (what < 10)
		ask(s, "machine.create", app, "",
		    json_pack("{s:o,s:b}", "config", draw_config(s, false), "skip_launch",
			chance(s, 20)));
	else if ((key = any_key(s, "desired/", ""))) {
		const json_t *d = store_value(s, key, NULL);
		str_copy(app, sizeof(app), json_string_value(json_object_get(d, "app")));
		str_copy(machine, sizeof(machine), json_string_value(json_object_get(d, "id")));
		ask_machine(s, app, machine);
	}
}

void plane_start(struct sim *s)
{
	struct err e;
	s->store = json_object();
	s->seen = json_object();
	s->dead = json_object();
	s->control_up = true;
	if (world_init(&s->world, &e) < 0)
		violate(s, "no memory");
}

void plane_done(struct sim *s)
{
	if (s->control_up)
		world_done(&s->world);
	json_decref(s->store);
	json_decref(s->seen);
	json_decref(s->dead);
}
