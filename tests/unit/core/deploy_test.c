#include "plane.h"

/* ---- a world that follows ---- */

static json_t *config(const char *image, bool checked)
{
	json_t *c = json_pack("{s:s}", "image", image);
	if (checked) {
		json_object_set_new(c, "services", json_pack("[{s:i}]", "internal_port", 80));
		json_object_set_new(c, "checks", json_pack("{s:{s:s}}", "up", "type", "http"));
	}
	return c;
}

static void observe(struct plane *p, const struct world_machine *m, const char *state,
    const char *check, int restarts)
{
	char key[120], id[MACHINE_ID_LEN + 1], host[64], instance[ULID_LEN + 1];
	str_copy(id, sizeof(id), m->id);
	str_copy(host, sizeof(host), m->host);
	str_copy(instance, sizeof(instance), m->d.instance_id);
	snprintf(key, sizeof(key), "observed/%s/%s", host, id);
	plane_put(p, key,
	    json_pack("{s:i,s:s,s:s,s:s,s:i,s:i,s:s}", "v", 1, "id", id, "state", state,
		"instance_id", instance, "generation", 1, "restarts", restarts, "reason",
		restarts                   ? "the app exited with code 9"
		: streq(state, "starting") ? "image-prepare: no such registry"
					   : ""));
	if (!check)
		return;
	snprintf(key, sizeof(key), "observed/%s/checks/%s", host, id);
	plane_put(p, key,
	    json_pack("{s:i,s:s,s:i,s:[{s:s,s:s,s:s}]}", "v", 1, "instance_id", instance,
		"generation", 1, "checks", "name", "up", "status", check, "output", "503"));
}

/* Every machine does what is wanted of it; those of `bad_image` fail in the way given. */
static void follow(struct plane *p, const char *bad_image, const char *bad_check, int bad_restarts)
{
	for (size_t i = 0; i < p->w.nmachines; i++) {
		struct world_machine *m = p->w.machines[i];
		if (!m->has_desired)
			continue;
		const char *image = json_string_value(json_object_get(m->d.config, "image"));
		bool bad = bad_image && streq(image, bad_image);
		if (m->d.want == WANT_DESTROYED)
			observe(p, m, "destroyed", NULL, 0);
		else if (m->d.want == WANT_STOPPED)
			observe(p, m, "stopped", NULL, 0);
		else if (bad && bad_check && streq(bad_check, "no image"))
			observe(p, m, "starting", NULL, 0);
		else
			observe(
			    p, m, "started", bad ? bad_check : "passing", bad ? bad_restarts : 0);
	}
}

static unsigned serving(const struct plane *p)
{
	unsigned n = 0;
	for (size_t i = 0; i < p->w.nmachines; i++) {
		const struct world_machine *m = p->w.machines[i];
		n += m->has_desired && m->d.want == WANT_STARTED && !m->d.cordoned &&
		     m->has_observed && m->o.state == MACHINE_STARTED &&
		     streq(m->o.instance_id, m->d.instance_id);
	}
	return n;
}

struct ride {
	const char *bad_image, *bad_check;
	int bad_restarts;
	unsigned fewest; /* machines in service at any time */
	unsigned steps;
};

/* Until the deploy has ended; time passes, machines follow. */
static void ride(struct plane *p, const char *app, struct ride *r)
{
	static struct txn t;
	struct world_app *a = world_app(&p->w, app);
	r->fewest = serving(p);
	for (r->steps = 0; a->a.deploy[0]; r->steps++) {
		struct err e;
		uint64_t look = 0;
		struct fresh f = plane_fresh(p);
		if (r->steps > 3000)
			fail_msg("the deploy never ends");
		txn_init(&t);
		assert_ok(deploy_decide(&p->w, a, p->now, &f, &t, &look, &e), e);
		bool moved = t.n > 0;
		plane_apply(p, &t);
		r->fewest = MIN(r->fewest, serving(p));
		follow(p, r->bad_image, r->bad_check, r->bad_restarts);
		if (!moved)
			p->now += 500;
	}
}

static json_t *deploy(struct plane *p, const char *app, const char *image, int count, bool checked)
{
	json_t *o = plane_ask(p, "deploy.create", app, "",
	    json_pack("{s:i,s:[{s:s,s:i,s:o}]}", "wait_timeout_ms", 30000, "groups", "name", "web",
		"count", count, "config", config(image, checked)));
	assert_int_equal(plane_status(o), 202);
	return o;
}

static unsigned running(const struct plane *p, const char *image)
{
	unsigned n = 0;
	for (size_t i = 0; i < p->w.nmachines; i++) {
		const struct world_machine *m = p->w.machines[i];
		n += m->has_desired && m->d.want == WANT_STARTED && !m->d.cordoned && !m->d.old &&
		     streq(json_string_value(json_object_get(m->d.config, "image")), image);
	}
	return n;
}

static const char *release_status(struct plane *p, const char *app, int n)
{
	return json_string_value(
	    json_object_get(world_release(world_app(&p->w, app), n), "status"));
}

static void first_deploy_makes_machines(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	struct ride r = { 0 };
	deploy(&p, app, "v1", 2, true);
	assert_int_equal(plane_status(plane_ask(&p, "scale", app, "",
			     json_pack("{s:s,s:i}", "group", "web", "count", 1))),
	    409);
	ride(&p, app, &r);
	assert_int_equal(running(&p, "v1"), 2);
	assert_string_equal(release_status(&p, app, 1), "succeeded");
	assert_int_equal(world_app(&p.w, app)->a.status, APP_DEPLOYED);
	plane_done(&p);
}

static void rolling_update_keeps_one_in_service(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	struct ride r = { 0 };
	deploy(&p, app, "v1", 2, true);
	ride(&p, app, &r);
	deploy(&p, app, "v2", 2, true);
	ride(&p, app, &r);
	assert_int_equal(running(&p, "v2"), 2);
	assert_int_equal(r.fewest, 1);
	assert_string_equal(release_status(&p, app, 2), "succeeded");
	plane_done(&p);
}

static void the_only_machine_gets_its_successor_first(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	struct ride r = { 0 };
	deploy(&p, app, "v1", 1, true);
	ride(&p, app, &r);
	deploy(&p, app, "v2", 1, true);
	ride(&p, app, &r);
	assert_int_equal(running(&p, "v2"), 1);
	assert_int_equal(running(&p, "v1"), 0);
	assert_int_equal(r.fewest, 1);
	plane_done(&p);
}

/* What is changed is put back, whatever the number of machines and the way it fails. */
static void failed_deploys_are_put_back(void **s)
{
	static const struct {
		int count;
		const char *check;
		int restarts;
		const char *reason;
	} rows[] = { { 2, "critical", 0, "did not all pass" }, { 2, "passing", 1, "code 9" },
		{ 1, "critical", 0, "did not all pass" }, { 1, "passing", 2, "code 9" },
		{ 3, NULL, 0, "no result" },
		{ 2, "no image", 0, "seconds: image-prepare: no such" } };
	for (size_t i = 0; i < countof(rows); i++) {
		struct plane p;
		plane_init(&p);
		const char *app = plane_app(&p, "shop");
		struct ride good = { 0 }, bad = { "v2", rows[i].check, rows[i].restarts, 0, 0 };
		deploy(&p, app, "v1", rows[i].count, true);
		ride(&p, app, &good);
		json_t *o = deploy(&p, app, "v2", rows[i].count, true);
		char key[120];
		snprintf(key, sizeof(key), "apps/%s/deploys/%s", app,
		    json_string_value(json_object_get(json_object_get(o, "result"), "deploy")));
		ride(&p, app, &bad);
		if (running(&p, "v1") != (unsigned)rows[i].count || running(&p, "v2") ||
		    !bad.fewest)
			fail_msg("row %zu: %u old, %u new, fewest %u", i, running(&p, "v1"),
			    running(&p, "v2"), bad.fewest);
		assert_string_equal(release_status(&p, app, 2), "failed");
		const char *reason =
		    json_string_value(json_object_get(plane_get(&p, key), "reason"));
		if (!strstr(reason, rows[i].reason))
			fail_msg("row %zu: reason %s", i, reason);
		plane_done(&p);
	}
}

static void a_failed_first_deploy_leaves_no_machine(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	struct ride r = { "v1", "critical", 0, 0, 0 };
	deploy(&p, app, "v1", 2, true);
	ride(&p, app, &r);
	assert_int_equal(running(&p, "v1"), 0);
	assert_string_equal(release_status(&p, app, 1), "failed");
	plane_done(&p);
}

static void scale_and_rollback(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	struct ride r = { 0 };
	deploy(&p, app, "v1", 1, true);
	ride(&p, app, &r);
	assert_int_equal(plane_status(plane_ask(&p, "scale", app, "",
			     json_pack("{s:s,s:i}", "group", "web", "count", 3))),
	    202);
	ride(&p, app, &r);
	assert_int_equal(running(&p, "v1"), 3);
	assert_int_equal(world_app(&p.w, app)->a.release, 1);
	assert_int_equal(
	    plane_status(plane_ask(&p, "release.rollback", app, "", json_object())), 404);
	deploy(&p, app, "v2", 3, true);
	ride(&p, app, &r);
	assert_int_equal(
	    plane_status(plane_ask(&p, "release.rollback", app, "", json_object())), 202);
	ride(&p, app, &r);
	assert_int_equal(running(&p, "v1"), 3);
	assert_string_equal(release_status(&p, app, 3), "succeeded");
	plane_ask(&p, "scale", app, "", json_pack("{s:s,s:i}", "group", "web", "count", 1));
	ride(&p, app, &r);
	assert_int_equal(running(&p, "v1"), 1);
	assert_int_equal(plane_status(plane_ask(&p, "scale", app, "",
			     json_pack("{s:s,s:i}", "group", "odd", "count", 1))),
	    404);
	plane_done(&p);
}

static void stopped_machines_stay_stopped(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	struct ride r = { 0 };
	deploy(&p, app, "v1", 2, true);
	ride(&p, app, &r);
	plane_ask(&p, "machine.stop", app, p.w.machines[0]->id, json_object());
	follow(&p, NULL, NULL, 0);
	deploy(&p, app, "v2", 2, true);
	ride(&p, app, &r);
	unsigned stopped = 0;
	for (size_t i = 0; i < p.w.nmachines; i++)
		stopped +=
		    p.w.machines[i]->d.want == WANT_STOPPED &&
		    streq(json_string_value(json_object_get(p.w.machines[i]->d.config, "image")),
			"v2");
	assert_int_equal(stopped, 1);
	assert_int_equal(running(&p, "v2"), 1);
	plane_done(&p);
}

/* An old version's passing checks are not the new one's. */
static void stale_checks_do_not_count(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	struct ride good = { 0 }, silent = { "v2", NULL, 0, 0, 0 };
	deploy(&p, app, "v1", 2, true);
	ride(&p, app, &good);
	deploy(&p, app, "v2", 2, true);
	ride(&p, app, &silent);
	assert_int_equal(running(&p, "v1"), 2);
	plane_done(&p);
}

static void the_record_round_trips(void **s)
{
	struct err e;
	static struct deploy d, again;
	d = (struct deploy){ .id = "D",
		.app = "A",
		.release = 4,
		.status = DEPLOY_ROLLING_BACK,
		.wait_timeout_ms = 9,
		.reason = "why",
		.events = 3,
		.nitems = 1 };
	d.item[0] = (struct deploy_item){
		.machine = "m", .group = "g", .action = DEPLOY_REPLACE, .step = DSTEP_DRAIN_OLD
	};
	cleanup_json json_t *j = deploy_format(&d);
	assert_ok(deploy_parse(j, &again, &e), e);
	cleanup_json json_t *k = deploy_format(&again);
	assert_true(json_equal(j, k));
	assert_true(deploy_same_place(&d, &again));
	again.item[0].step = DSTEP_HOLD;
	assert_false(deploy_same_place(&d, &again));
	json_object_set_new(
	    json_array_get(json_object_get(j, "items"), 0), "step", json_string("odd"));
	assert_int_equal(deploy_parse(j, &again, &e), -EINVAL);
}

static void bad_groups_are_refused(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	assert_int_equal(
	    plane_status(plane_ask(&p, "deploy.create", app, "", json_pack("{s:[]}", "groups"))),
	    400);
	assert_int_equal(plane_status(plane_ask(&p, "deploy.create", app, "", json_object())), 400);
	assert_int_equal(plane_status(plane_ask(&p, "deploy.create", app, "",
			     json_pack("{s:s,s:[{s:s,s:o}]}", "strategy", "odd", "groups", "name",
				 "w", "config", config("x", false)))),
	    422);
	json_t *o = plane_ask(&p, "deploy.create", app, "",
	    json_pack("{s:[{s:s,s:{s:s,s:{s:i}}}]}", "groups", "name", "w", "config", "image", "x",
		"guest", "memory_mb", 9000));
	assert_int_equal(plane_status(o), 422);
	assert_string_equal(world_app(&p.w, app)->a.deploy, "");
	plane_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(first_deploy_makes_machines),
		cmocka_unit_test(rolling_update_keeps_one_in_service),
		cmocka_unit_test(the_only_machine_gets_its_successor_first),
		cmocka_unit_test(failed_deploys_are_put_back),
		cmocka_unit_test(a_failed_first_deploy_leaves_no_machine),
		cmocka_unit_test(scale_and_rollback),
		cmocka_unit_test(stopped_machines_stay_stopped),
		cmocka_unit_test(stale_checks_do_not_count),
		cmocka_unit_test(the_record_round_trips),
		cmocka_unit_test(bad_groups_are_refused) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
