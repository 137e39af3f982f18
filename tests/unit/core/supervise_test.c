#include "../unit.h"
#include "core/supervise.h"

enum { VAULT, ETCD, SETUP, API };

static struct supervise four(void)
{
	return (struct supervise){ .n = 4,
		.unit = { [VAULT] = { .wanted = true },
		    [ETCD] = { .wanted = true, .after = 1 << VAULT },
		    [SETUP] = { .wanted = true, .oneshot = true, .after = 1 << ETCD },
		    [API] = { .wanted = true, .after = 1 << SETUP } } };
}

/* The actions at `now`, as text: "start 0, term 3". */
static const char *next(struct supervise *s, uint64_t now, uint64_t *wake)
{
	static char text[200];
	static const char *const names[] = { "start", "term", "kill" };
	struct supervise_action a[SUPERVISE_UNITS_MAX];
	uint64_t w;
	unsigned n = supervise_next(s, now, a, &w);
	size_t at = 0;
	text[0] = 0;
	for (unsigned i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s %u", i ? ", " : "",
		    names[a[i].what], a[i].unit);
	if (wake)
		*wake = w;
	return text;
}

static void the_order_is_kept(void **state)
{
	struct supervise s = four();
	assert_string_equal(next(&s, 1000, NULL), "start 0, start 1, start 2");
	assert_string_equal(next(&s, 1001, NULL), ""); /* the api waits for the one-shot's end */
	supervise_ended(&s, SETUP, 1500, true);
	assert_string_equal(next(&s, 1500, NULL), "start 3");
	assert_string_equal(next(&s, 1500, NULL), "");
}

static void a_failing_oneshot_holds_back_the_rest(void **state)
{
	struct supervise s = four();
	uint64_t wake;
	next(&s, 1000, NULL);
	supervise_ended(&s, SETUP, 1100, false);
	assert_string_equal(next(&s, 1100, &wake), "");
	assert_int_equal(wake, 1200);
	assert_string_equal(next(&s, 1200, NULL), "start 2");
	assert_int_equal(s.unit[SETUP].restarts, 1);
}

static void a_oneshot_runs_again_after_what_it_prepares(void **state)
{
	struct supervise s = four();
	next(&s, 1000, NULL);
	supervise_ended(&s, SETUP, 1500, true);
	assert_string_equal(next(&s, 1500, NULL), "start 3");
	supervise_ended(&s, VAULT, 1600, false); /* not what it comes directly after */
	assert_string_equal(next(&s, 1700, NULL), "start 0");
	supervise_ended(&s, ETCD, 1800, false);
	assert_string_equal(next(&s, 1900, NULL), "start 1, start 2");
	assert_int_equal(s.unit[API].state, UNIT_UP); /* what is up stays up */
}

static void a_restart_does_not_wait_for_others(void **state)
{
	struct supervise s = four();
	next(&s, 1000, NULL);
	supervise_ended(&s, SETUP, 1500, true);
	next(&s, 1500, NULL);
	supervise_ended(&s, ETCD, 2000, false); /* sets the one-shot back */
	supervise_ended(&s, API, 2000, false);
	assert_string_equal(next(&s, 2100, NULL), "start 1, start 2, start 3");
	supervise_ended(&s, ETCD, 2200, false); /* and is not there for good */
	supervise_ended(&s, API, 2200, false);
	s.unit[ETCD].not_before_ms = UINT64_MAX;
	s.unit[SETUP].state = UNIT_DOWN;
	assert_string_equal(next(&s, 2500, NULL), "start 3");
}

static void backoff_doubles_to_its_bound_and_is_forgotten(void **state)
{
	static const uint64_t want[] = { 0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600,
		30000, 30000 };
	for (unsigned i = 0; i < countof(want); i++)
		assert_int_equal(supervise_backoff(i), want[i]);
	assert_int_equal(supervise_backoff(~0U), 30000);

	struct supervise s = four();
	uint64_t now = 1000;
	next(&s, now, NULL);
	for (int i = 0; i < 40; i++) {
		supervise_ended(&s, VAULT, now, false);
		now = s.unit[VAULT].not_before_ms;
		assert_string_equal(next(&s, now - 1, NULL), "");
		assert_string_equal(next(&s, now, NULL), "start 0");
	}
	now += SUPERVISE_STABLE_MS;
	supervise_ended(&s, VAULT, now, false);
	assert_int_equal(s.unit[VAULT].not_before_ms, now + 100);
}

static void stopping_goes_backwards_and_ends_by_force(void **state)
{
	struct supervise s = four();
	uint64_t wake;
	next(&s, 1000, NULL);
	supervise_ended(&s, SETUP, 1500, true);
	next(&s, 1500, NULL);
	supervise_stop(&s);
	/* etcd waits, though what lies between is done */
	assert_string_equal(next(&s, 2000, &wake), "term 3");
	assert_int_equal(wake, 2000 + SUPERVISE_STOP_MS);
	supervise_ended(&s, API, 2100, true);
	assert_string_equal(next(&s, 2100, NULL), "term 1");
	assert_string_equal(next(&s, 2099 + SUPERVISE_STOP_MS, &wake), "");
	assert_int_equal(wake, 2100 + SUPERVISE_STOP_MS);
	assert_string_equal(next(&s, 2100 + SUPERVISE_STOP_MS, NULL), "kill 1");
	assert_false(supervise_stopped(&s));
	supervise_ended(&s, ETCD, 12200, false);
	assert_string_equal(next(&s, 12200, NULL), "term 0");
	supervise_ended(&s, VAULT, 12300, false);
	assert_true(supervise_stopped(&s));
	assert_string_equal(next(&s, 99999, &wake), ""); /* nothing comes back */
	assert_true(wake == UINT64_MAX);
}

static void the_adopted_and_the_unwanted(void **state)
{
	struct supervise s = four();
	s.unit[SETUP].wanted = false; /* limited by --only: others do not wait for it */
	supervise_adopted(&s, ETCD, 5);
	assert_string_equal(next(&s, 1000, NULL), "start 0, start 3");
	assert_int_equal(s.unit[ETCD].restarts, 0);
	supervise_ended(&s, ETCD, 1000, false);
	assert_string_equal(next(&s, 1100, NULL), "start 1");
	assert_int_equal(s.unit[ETCD].restarts, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_order_is_kept),
		cmocka_unit_test(a_failing_oneshot_holds_back_the_rest),
		cmocka_unit_test(a_oneshot_runs_again_after_what_it_prepares),
		cmocka_unit_test(a_restart_does_not_wait_for_others),
		cmocka_unit_test(backoff_doubles_to_its_bound_and_is_forgotten),
		cmocka_unit_test(stopping_goes_backwards_and_ends_by_force),
		cmocka_unit_test(the_adopted_and_the_unwanted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
