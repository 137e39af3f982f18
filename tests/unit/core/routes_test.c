#include "../unit.h"
#include "base/str.h"
#include "core/routes.h"

static const char *const reserved[] = { "api", NULL };

static struct routes_machine machine(const char *id, const char *app)
{
	struct routes_machine m = {
		.wanted = true, .started = true, .ipv4 = { 172, 19, 0, 2 }, .nservices = 1
	};
	str_copy(m.id, sizeof(m.id), id);
	str_copy(m.app, sizeof(m.app), app);
	m.service[0] = (struct routes_service){
		.internal_port = 8080, .tls = true, .plain = true, .force_https = true
	};
	return m;
}

static struct routes_app app(const char *id, const char *name)
{
	struct routes_app a = { 0 };
	str_copy(a.id, sizeof(a.id), id);
	str_copy(a.name, sizeof(a.name), name);
	return a;
}

static void test_judge(void **state)
{
	size_t i = 9;
	struct routes_machine m = machine("1", "a");
	assert_int_equal(routes_judge(&m, true, &i), ROUTES_SERVES);
	assert_int_equal(i, 0);
	m.service[0].health = ROUTES_PASSING;
	assert_int_equal(routes_judge(&m, true, &i), ROUTES_SERVES);
	m.service[0].health = ROUTES_NOT_PASSING;
	assert_int_equal(routes_judge(&m, true, &i), ROUTES_UNHEALTHY);
	m.started = false; /* not running outweighs not passing */
	assert_int_equal(routes_judge(&m, true, &i), ROUTES_RESTS);
	m = machine("1", "a");
	m.wanted = false;
	assert_int_equal(routes_judge(&m, true, &i), ROUTES_RESTS);
	m = machine("1", "a");
	m.ipv4[0] = 0;
	m.ipv4[1] = m.ipv4[2] = m.ipv4[3] = 0;
	assert_int_equal(routes_judge(&m, true, &i), ROUTES_RESTS);
	m = machine("1", "a");
	m.service[0].tls = false;
	assert_int_equal(routes_judge(&m, true, &i), ROUTES_NO_SERVICE);
	assert_int_equal(routes_judge(&m, false, &i), ROUTES_SERVES);
}

static void test_plan(void **state)
{
	struct routes_app apps[] = { app("b", "alpha"), app("a", "beta"), app("c", "gamma") };
	struct routes_machine m[] = { machine("1", "a"), machine("2", "b"), machine("3", "b"),
		machine("4", "b"), machine("5", "z") };
	m[2].service[0].health = ROUTES_NOT_PASSING;
	m[3].started = false;
	struct routes r;
	struct err e;
	assert_ok(routes_plan(apps, 3, m, 5, reserved, &r, &e), e);
	assert_int_equal(r.count, 3);
	assert_int_equal(r.refused, 0);
	const struct routes_side *t = &r.entry[0].tls;
	assert_true(t->present && t->force_https && t->count == 1 && t->unhealthy == 1 &&
		    t->resting == 1 && t->app_port == 8080);
	assert_string_equal(r.backend[t->first].machine->id, "2");
	assert_int_equal(r.entry[1].plain.count, 1);
	assert_string_equal(r.backend[r.entry[1].plain.first].machine->id, "1");
	assert_false(r.entry[2].tls.present); /* no machines at all */
	routes_done(&r);
}

static void test_names(void **state)
{
	struct routes_app apps[] = { app("a", "api"), app("b", "same"), app("c", "same") };
	struct routes_machine m[] = { machine("1", "a"), machine("2", "b"), machine("3", "c") };
	struct routes r;
	struct err e;
	assert_ok(routes_plan(apps, 3, m, 3, reserved, &r, &e), e);
	assert_int_equal(r.count, 1);
	assert_int_equal(r.refused, 2);
	assert_string_equal(r.entry[0].app->id, "b");
	routes_done(&r);
	assert_ok(routes_plan(NULL, 0, NULL, 0, reserved, &r, &e), e);
	assert_int_equal(r.count, 0);
	routes_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
