#include "plane.h"

static void apps(void **s)
{
	struct plane p;
	plane_init(&p);
	json_t *o = plane_ask(
	    &p, "app.create", "", "", json_pack("{s:s,s:s}", "name", "shop", "org", "clinic"));
	assert_int_equal(plane_status(o), 201);
	const char *id = json_string_value(json_object_get(json_object_get(o, "result"), "id"));
	json_int_t network =
	    json_integer_value(json_object_get(json_object_get(o, "result"), "network_id"));
	assert_true(network > 0);
	assert_non_null(world_app_by_name(&p.w, "shop"));
	o = plane_ask(
	    &p, "app.create", "", "", json_pack("{s:s,s:s}", "name", "shop", "org", "other"));
	assert_int_equal(plane_status(o), 422);
	assert_string_equal(json_string_value(json_object_get(o, "code")), "name-taken");
	o = plane_ask(
	    &p, "app.create", "", "", json_pack("{s:s,s:s}", "name", "lab", "org", "clinic"));
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(o, "result"), "network_id")),
	    network);
	o = plane_ask(
	    &p, "app.create", "", "", json_pack("{s:s,s:s}", "name", "x", "org", "other"));
	assert_int_not_equal(
	    json_integer_value(json_object_get(json_object_get(o, "result"), "network_id")),
	    network);
	o = plane_ask(&p, "app.create", "", "",
	    json_pack("{s:s,s:s}", "name", "Not A Name", "org", "clinic"));
	assert_int_equal(plane_status(o), 400);
	assert_int_equal(plane_status(plane_ask(&p, "app.delete", id, "", json_object())), 202);
	assert_null(world_app_by_name(&p.w, "shop"));
	assert_int_equal(plane_status(plane_ask(&p, "app.delete", id, "", json_object())), 404);
	plane_done(&p);
}

static json_t *config(int memory)
{
	return json_pack("{s:s,s:{s:i}}", "image", "x", "guest", "memory_mb", memory);
}

static void machines(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	json_t *o = plane_ask(&p, "machine.create", app, "",
	    json_pack("{s:o,s:s}", "config", config(256), "name", "one"));
	assert_int_equal(plane_status(o), 200);
	const char *id =
	    json_string_value(json_object_get(json_object_get(o, "result"), "machine"));
	struct world_machine *m = world_machine(&p.w, id);
	assert_non_null(m);
	assert_string_equal(m->host, "h1");
	assert_int_equal(m->d.want, WANT_STARTED);
	assert_int_equal(plane_status(plane_ask(&p, "machine.create", app, "",
			     json_pack("{s:o,s:s}", "config", config(256), "name", "one"))),
	    409);

	struct world_machine *m2 = NULL;
	o = plane_ask(&p, "machine.create", app, "",
	    json_pack("{s:o,s:b}", "config", config(256), "skip_launch", 1));
	m2 = world_machine(
	    &p.w, json_string_value(json_object_get(json_object_get(o, "result"), "machine")));
	assert_int_equal(m2->d.want, WANT_STOPPED);
	assert_int_not_equal(m2->d.number, m->d.number);

	plane_ask(&p, "machine.stop", app, id,
	    json_pack("{s:s,s:i}", "signal", "SIGTERM", "timeout_ms", 5));
	assert_int_equal(m->d.want, WANT_STOPPED);
	assert_string_equal(m->d.stop_signal, "SIGTERM");
	plane_ask(&p, "machine.start", app, id, json_object());
	assert_int_equal(m->d.want, WANT_STARTED);
	assert_int_equal(m->d.start_seq, 1);
	assert_string_equal(m->d.stop_signal, "");
	plane_ask(&p, "machine.restart", app, id, json_object());
	assert_int_equal(m->d.restart_seq, 1);
	plane_ask(&p, "machine.cordon", app, id, json_object());
	assert_true(m->d.cordoned);
	plane_ask(&p, "machine.uncordon", app, id, json_object());
	assert_false(m->d.cordoned);

	char was[ULID_LEN + 1];
	str_copy(was, sizeof(was), m->d.instance_id);
	o = plane_ask(&p, "machine.update", app, id,
	    json_pack("{s:o,s:s}", "config", config(300), "current_version", "no"));
	assert_int_equal(plane_status(o), 409);
	o = plane_ask(&p, "machine.update", app, id,
	    json_pack("{s:o,s:s}", "config", config(300), "current_version", was));
	assert_int_equal(plane_status(o), 200);
	assert_string_not_equal(m->d.instance_id, was);
	assert_int_equal(m->d.version, 2);
	assert_int_equal(m->d.size.memory_mib, 300);

	o = plane_ask(
	    &p, "machine.metadata", app, id, json_pack("{s:{s:s,s:s}}", "set", "a", "1", "b", "2"));
	assert_int_equal(
	    json_object_size(json_object_get(json_object_get(o, "result"), "metadata")), 2);
	plane_ask(&p, "machine.metadata", app, id, json_pack("{s:[s]}", "delete", "a"));
	assert_null(json_object_get(m->d.metadata, "a"));
	assert_int_equal(m->d.version, 2);

	plane_ask(&p, "machine.destroy", app, id, json_pack("{s:b}", "force", 1));
	assert_int_equal(m->d.want, WANT_DESTROYED);
	assert_true(m->d.stop_force);
	assert_int_equal(plane_status(plane_ask(&p, "machine.start", app, id, json_object())), 404);
	assert_int_equal(plane_status(plane_ask(&p, "odd.kind", app, id, json_object())), 422);
	plane_done(&p);
}

/* While a deploy is under way a record holds the old config beside the new one: each must leave
 * room for the other, or the deploy's next step could never be written. */
static void what_would_not_fit_a_record_is_refused(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	static char big[CONFIG_BYTES_MAX];
	memset(big, 'x', sizeof(big) - 1);
	json_t *huge = json_pack("{s:s,s:{s:s}}", "image", "x", "env", "sealed", big);
	json_t *o = plane_ask(&p, "machine.create", app, "", json_pack("{s:O}", "config", huge));
	assert_int_equal(plane_status(o), 413);
	o = plane_ask(&p, "deploy.create", app, "",
	    json_pack("{s:[{s:s,s:O}]}", "groups", "name", "app", "config", huge));
	assert_int_equal(plane_status(o), 413);
	o = plane_ask(&p, "machine.create", app, "", json_pack("{s:o}", "config", config(256)));
	char id[MACHINE_ID_LEN + 1];
	str_copy(id, sizeof(id),
	    json_string_value(json_object_get(json_object_get(o, "result"), "machine")));
	o = plane_ask(&p, "machine.update", app, id, json_pack("{s:O}", "config", huge));
	assert_int_equal(plane_status(o), 413);
	o = plane_ask(&p, "machine.metadata", app, id, json_pack("{s:{s:s}}", "set", "note", big));
	assert_int_equal(plane_status(o), 413);
	json_decref(huge);
	plane_done(&p);
}

/* Deleting an app of many machines with large configs is more than one transaction holds. */
static void a_large_app_is_swept_in_parts(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	static char big[90 * 1024];
	memset(big, 'x', sizeof(big) - 1);
	for (int i = 0; i < 12; i++) {
		json_t *c = json_pack("{s:s,s:{s:i},s:{s:s},s:{s:i}}", "image", "x", "guest",
		    "memory_mb", 64, "env", "sealed", big, "rootfs", "size_gb", 1);
		assert_int_equal(plane_status(plane_ask(&p, "machine.create", app, "",
				     json_pack("{s:o}", "config", c))),
		    200);
	}
	assert_int_equal(plane_status(plane_ask(&p, "app.delete", app, "", json_object())), 202);
	static struct txn t;
	unsigned rounds = 0;
	for (;;) {
		struct fresh f = plane_fresh(&p);
		txn_init(&t);
		sweep_decide(&p.w, &f, &t);
		if (!t.n)
			break;
		assert_true(t.bytes <= TXN_BYTES_MAX);
		plane_apply(&p, &t);
		rounds++;
	}
	assert_in_range(rounds, 2, 12);
	for (size_t i = 0; i < p.w.nmachines; i++)
		assert_int_equal(p.w.machines[i]->d.want, WANT_DESTROYED);
	plane_done(&p);
}

static void a_running_machine_is_destroyed_by_force_alone(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	json_t *o =
	    plane_ask(&p, "machine.create", app, "", json_pack("{s:o}", "config", config(256)));
	const char *id =
	    json_string_value(json_object_get(json_object_get(o, "result"), "machine"));
	char key[80];
	snprintf(key, sizeof(key), "observed/h1/%s", id);
	plane_put(&p, key, json_pack("{s:i,s:s,s:s}", "v", 1, "id", id, "state", "started"));
	o = plane_ask(&p, "machine.destroy", app, id, json_object());
	assert_int_equal(plane_status(o), 412);
	assert_int_equal(world_machine(&p.w, id)->d.want, WANT_STARTED);
	plane_done(&p);
}

static void what_does_not_fit_is_refused(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	json_t *o =
	    plane_ask(&p, "machine.create", app, "", json_pack("{s:o}", "config", config(4096)));
	assert_int_equal(plane_status(o), 422);
	assert_string_equal(json_string_value(json_object_get(o, "code")), "insufficient-capacity");
	o = plane_ask(&p, "machine.create", app, "",
	    json_pack("{s:{s:s,s:{s:i}}}", "config", "image", "x", "guest", "cpus", 8));
	assert_non_null(strstr(json_string_value(json_object_get(o, "error")), "8 CPUs"));
	o = plane_ask(&p, "machine.create", app, "",
	    json_pack("{s:{s:s,s:{s:i}}}", "config", "image", "x", "rootfs", "size_gb", 400));
	assert_non_null(strstr(json_string_value(json_object_get(o, "error")), "scratch disk"));
	for (int i = 0; i < 2; i++)
		assert_int_equal(plane_status(plane_ask(&p, "machine.create", app, "",
				     json_pack("{s:o}", "config", config(1800)))),
		    200);
	assert_int_equal(plane_status(plane_ask(&p, "machine.create", app, "",
			     json_pack("{s:o}", "config", config(256)))),
	    422);
	o = plane_ask(&p, "machine.create", app, "",
	    json_pack("{s:o,s:s}", "config", config(64), "region", "moon"));
	assert_non_null(strstr(json_string_value(json_object_get(o, "error")), "region moon"));
	plane_done(&p);
}

static void a_host_without_an_engine_runs_nothing(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	plane_put(&p, "hosts/h1",
	    json_pack("{s:i,s:s,s:s,s:i,s:i,s:i,s:i,s:s}", "v", 1, "name", "h1", "region", "home",
		"id", 1, "cpus", 4, "memory_mib", 4096, "disk_mib", 102400, "engine", "none"));
	json_t *o =
	    plane_ask(&p, "machine.create", app, "", json_pack("{s:o}", "config", config(64)));
	assert_int_equal(json_integer_value(json_object_get(o, "status")), 422);
	assert_non_null(strstr(json_string_value(json_object_get(o, "error")), "emulation"));
	assert_int_equal(p.w.nmachines, 0);
	plane_done(&p);
}

static void sweep_all(struct plane *p)
{
	static struct txn t;
	for (int i = 0; i < 20; i++) {
		struct fresh f = plane_fresh(p);
		txn_init(&t);
		sweep_decide(&p->w, &f, &t);
		if (!t.n)
			return;
		plane_apply(p, &t);
	}
	fail_msg("sweeping never ends");
}

static void a_deleted_app_leaves_nothing(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	json_t *o =
	    plane_ask(&p, "machine.create", app, "", json_pack("{s:o}", "config", config(256)));
	char id[MACHINE_ID_LEN + 1], key[80], appid[APP_ID_LEN + 1];
	str_copy(id, sizeof(id),
	    json_string_value(json_object_get(json_object_get(o, "result"), "machine")));
	str_copy(appid, sizeof(appid), app);
	plane_ask(&p, "deploy.create", appid, "",
	    json_pack(
		"{s:[{s:s,s:i,s:o}]}", "groups", "name", "web", "count", 1, "config", config(256)));
	plane_ask(&p, "app.delete", appid, "", json_object());
	sweep_all(&p);
	assert_int_equal(world_machine(&p.w, id)->d.want, WANT_DESTROYED);
	snprintf(key, sizeof(key), "observed/h1/%s", id);
	plane_put(&p, key,
	    json_pack("{s:i,s:s,s:s,s:s}", "v", 1, "id", id, "state", "destroyed", "updated_at",
		"2026-01-01T00:00:00Z"));
	sweep_all(&p);
	assert_null(world_machine(&p.w, id));
	const char *k;
	json_t *v;
	json_object_foreach (p.store, k, v) {
		if (str_starts(k, "apps/") || str_starts(k, "names/") || str_starts(k, "desired/"))
			fail_msg("%s is left", k);
	}
	plane_done(&p);
}

static void a_destroyed_machine_stays_to_be_seen_for_a_while(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	json_t *o =
	    plane_ask(&p, "machine.create", app, "", json_pack("{s:o}", "config", config(256)));
	const char *id =
	    json_string_value(json_object_get(json_object_get(o, "result"), "machine"));
	char key[80], at[CLOCK_RFC3339_SIZE];
	struct fresh f = plane_fresh(&p);
	fresh_time(at, &f);
	snprintf(key, sizeof(key), "observed/h1/%s", id);
	plane_put(&p, key,
	    json_pack(
		"{s:i,s:s,s:s,s:s}", "v", 1, "id", id, "state", "destroyed", "updated_at", at));
	sweep_all(&p); /* it went by itself: control agrees */
	assert_int_equal(world_machine(&p.w, id)->d.want, WANT_DESTROYED);
	p.now += SWEEP_DESTROYED_MS - 1;
	sweep_all(&p);
	assert_non_null(world_machine(&p.w, id));
	p.now += 1;
	sweep_all(&p);
	assert_null(world_machine(&p.w, id));
	plane_done(&p);
}

static void history_has_a_bound(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	struct world_app *a = world_app(&p.w, app);
	char key[100];
	for (int i = 1; i <= SWEEP_RELEASES_KEPT + 5; i++) {
		snprintf(key, sizeof(key), "apps/%s/releases/%08d", app, i);
		plane_put(&p, key,
		    json_pack("{s:i,s:i,s:s}", "v", 1, "version", i, "status",
			i == 2 ? "succeeded" : "failed"));
	}
	for (int i = 1; i <= SWEEP_DEPLOYS_KEPT + 2; i++) {
		snprintf(key, sizeof(key), "apps/%s/deploys/D%025d", app, i);
		plane_put(&p, key, json_pack("{s:i,s:i}", "v", 1, "events", 120));
	}
	sweep_all(&p);
	assert_int_equal(json_object_size(a->deploys), SWEEP_DEPLOYS_KEPT);
	assert_int_equal(json_object_size(a->releases), SWEEP_RELEASES_KEPT);
	assert_non_null(world_release(a, 2)); /* the present one stays, however old */
	assert_null(world_release(a, 1));
	plane_done(&p);
}

static void a_poisoned_record_is_left_out(void **s)
{
	struct plane p;
	struct err e;
	plane_init(&p);
	cleanup_json json_t *bad = json_pack("{s:i,s:s}", "v", 1, "id", "x");
	assert_int_equal(world_set(&p.w, "desired/h1/x", bad, 99, &e), -EINVAL);
	assert_int_equal(world_set(&p.w, "apps/a/app", bad, 99, &e), -EINVAL);
	assert_int_equal(world_set(&p.w, "hosts/h1", bad, 99, &e), -EINVAL);
	assert_null(world_app(&p.w, "a"));
	assert_int_equal(p.w.nmachines, 0);
	assert_non_null(plane_app(&p, "shop"));
	plane_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(apps), cmocka_unit_test(machines),
		cmocka_unit_test(a_running_machine_is_destroyed_by_force_alone),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(what_would_not_fit_a_record_is_refused),
		cmocka_unit_test(a_large_app_is_swept_in_parts),
		cmocka_unit_test(a_host_without_an_engine_runs_nothing),
		cmocka_unit_test(a_deleted_app_leaves_nothing),
		cmocka_unit_test(a_destroyed_machine_stays_to_be_seen_for_a_while),
		cmocka_unit_test(history_has_a_bound),
		cmocka_unit_test(a_poisoned_record_is_left_out) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
