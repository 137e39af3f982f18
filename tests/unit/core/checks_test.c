#include "../unit.h"
#include "core/checks.h"

static const struct check_times times = {
	.interval_ms = 10000, .timeout_ms = 2000, .grace_ms = 5000
};

static void test_first_pass(void **state)
{
	struct check c;
	uint64_t next;
	check_begin(&c, CHECK_WARNING, 1000);
	assert_true(check_due(&c, &times, 1000, &next));
	assert_false(check_due(&c, &times, 1000, &next)); /* it runs */
	assert_int_equal(next, UINT64_MAX);
	assert_true(check_result(&c, &times, true, 1010));
	assert_int_equal(c.status, CHECK_PASSING);
	assert_false(check_due(&c, &times, 1020, &next));
	assert_int_equal(next, 11010);
	assert_true(check_due(&c, &times, 11010, &next));
}

static void test_grace(void **state)
{
	struct check c;
	uint64_t next, now = 0;
	check_begin(&c, CHECK_WARNING, now);
	unsigned tried = 0;
	while (now < times.grace_ms) {
		if (check_due(&c, &times, now, &next)) {
			tried++;
			assert_false(check_result(&c, &times, false, now));
			assert_int_equal(c.status, CHECK_WARNING);
		}
		now += 50;
	}
	assert_in_range(tried, 5, 20); /* eager, but no flood */
	while (!check_due(&c, &times, now, &next))
		now = next;
	assert_true(check_result(&c, &times, false, now));
	assert_int_equal(c.status, CHECK_CRITICAL);
}

static void test_one_failure_suffices_and_comes_back(void **state)
{
	struct check c;
	check_begin(&c, CHECK_PASSING, 0); /* a watcher before this one knew */
	assert_int_equal(c.status, CHECK_PASSING);
	assert_true(
	    check_result(&c, &times, false, 10)); /* although the grace period is not over */
	assert_int_equal(c.status, CHECK_CRITICAL);
	assert_int_equal(c.next_at, 10010);
	assert_false(check_result(&c, &times, false, 10010));
	assert_true(check_result(&c, &times, true, 20010));
	assert_int_equal(c.status, CHECK_PASSING);
}

static void test_bounds(void **state)
{
	struct check_times t = { .interval_ms = 1, .timeout_ms = 3600000, .grace_ms = 1 };
	check_times_bound(&t);
	assert_int_equal(t.interval_ms, CHECK_MIN_MS);
	assert_int_equal(t.timeout_ms, CHECK_MAX_MS);
	assert_int_equal(t.grace_ms, 1);
	assert_string_equal(check_status_name(CHECK_WARNING), "warning");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_pass),
		cmocka_unit_test(test_grace),
		cmocka_unit_test(test_one_failure_suffices_and_comes_back),
		cmocka_unit_test(test_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
