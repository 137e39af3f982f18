#include "core/place.h"
#include "plane.h"

static void host(struct plane *p, const char *name, const char *region, int memory, bool alive)
{
	char key[64];
	snprintf(key, sizeof(key), "hosts/%s", name);
	plane_put(p, key,
	    json_pack("{s:i,s:s,s:s,s:i,s:i,s:i,s:i,s:s}", "v", 1, "name", name, "region", region,
		"id", 2, "cpus", 4, "memory_mib", memory, "disk_mib", 102400, "engine",
		"emulated"));
	snprintf(key, sizeof(key), "alive/%s", name);
	if (alive)
		plane_put(p, key, json_pack("{s:i}", "v", 1));
}

static const char *choose(struct plane *p, const char *app, const char *region)
{
	const struct world_host *h = NULL;
	struct machine_size size = { 1, 256, 1 };
	struct err e;
	return place_choose(&p->w, app, region, &size, &h, &e) < 0 ? err_code_name(e.code)
								   : h->name;
}

static void the_best_living_host(void **s)
{
	struct plane p;
	plane_init(&p); /* h1: home, 4096 MiB */
	assert_string_equal(choose(&p, "a", ""), "h1");
	host(&p, "h2", "home", 9000, false);
	assert_string_equal(choose(&p, "a", ""), "h1");
	host(&p, "h2", "home", 9000, true);
	assert_string_equal(choose(&p, "a", ""), "h2");
	host(&p, "h3", "away", 1000, true);
	assert_string_equal(choose(&p, "a", "away"), "h3");
	assert_string_equal(choose(&p, "a", "moon"), "insufficient-capacity");
	plane_done(&p);
}

static void machines_of_an_app_are_spread(void **s)
{
	struct plane p;
	plane_init(&p);
	host(&p, "h2", "home", 9000, true);
	const char *app = plane_app(&p, "shop");
	unsigned on_h1 = 0;
	for (int i = 0; i < 4; i++)
		plane_ask(
		    &p, "machine.create", app, "", json_pack("{s:{s:s}}", "config", "image", "x"));
	for (size_t i = 0; i < p.w.nmachines; i++)
		on_h1 += streq(p.w.machines[i]->host, "h1");
	assert_int_equal(on_h1, 2);
	plane_done(&p);
}

static void nobody_lives(void **s)
{
	struct plane p;
	struct err e;
	plane_init(&p);
	assert_ok(world_set(&p.w, "alive/h1", NULL, 0, &e), e);
	assert_string_equal(choose(&p, "a", ""), "unavailable");
	plane_done(&p);
}

static void numbers_are_free_and_not_reused_at_once(void **s)
{
	struct plane p;
	plane_init(&p);
	const char *app = plane_app(&p, "shop");
	uint32_t first = place_number(&p.w, "h1", 77), last = place_number(&p.w, "h1", UINT32_MAX);
	assert_true(first >= 2 && first <= PLACE_NUMBERS && last >= 2 && last <= PLACE_NUMBERS);
	plane_ask(&p, "machine.create", app, "", json_pack("{s:{s:s}}", "config", "image", "x"));
	uint32_t taken = p.w.machines[0]->d.number;
	assert_int_not_equal(place_number(&p.w, "h1", taken - 2), taken);
	assert_int_equal(place_number(&p.w, "h2", taken - 2), taken);
	plane_done(&p);
}

static void a_transaction_is_bounded(void **s)
{
	static struct txn t;
	txn_init(&t);
	for (int i = 0; i < TXN_OPS_MAX; i++)
		txn_put(&t, 0, json_object(), "k/%d", i);
	assert_false(t.failed || txn_room(&t, 1));
	txn_put(&t, 0, json_object(), "one/more");
	assert_true(t.failed);
	txn_done(&t);
	txn_put(&t, 0, json_object(), "%0300d", 1);
	assert_true(t.failed);
	txn_done(&t);
	txn_require(&t, 5, "k");
	assert_true(t.op[0].only_compare && t.op[0].rev == 5 && !t.failed);
	txn_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_best_living_host),
		cmocka_unit_test(machines_of_an_app_are_spread), cmocka_unit_test(nobody_lives),
		cmocka_unit_test(numbers_are_free_and_not_reused_at_once),
		cmocka_unit_test(a_transaction_is_bounded) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
