#include "../unit.h"
#include "core/restart.h"

static void policies(void **s)
{
	static const struct {
		enum restart_kind kind;
		bool failed;
		enum restart_verdict want;
	} rows[] = {
		{ RESTART_NO, true, RESTART_LEAVE_STOPPED },
		{ RESTART_NO, false, RESTART_LEAVE_STOPPED },
		{ RESTART_ON_FAILURE, false, RESTART_LEAVE_STOPPED },
		{ RESTART_ON_FAILURE, true, RESTART_AGAIN },
		{ RESTART_ALWAYS, true, RESTART_AGAIN },
		{ RESTART_ALWAYS, false, RESTART_AGAIN },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct restart_policy p = { rows[i].kind, 3 };
		struct restart_count c = { 0 };
		uint64_t delay = 0;
		assert_int_equal(restart_decide(&p, &c, rows[i].failed, 10, &delay), rows[i].want);
		assert_int_equal(delay, rows[i].want == RESTART_AGAIN ? RESTART_FIRST_MS : 0);
	}
}

static void backs_off_and_gives_up(void **s)
{
	static const uint64_t want[] = { 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000,
		60000 };
	struct restart_policy p = { RESTART_ON_FAILURE, RESTART_RETRIES_DEFAULT };
	struct restart_count c = { 0 };
	uint64_t delay = 0;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(restart_decide(&p, &c, true, 2000, &delay), RESTART_AGAIN);
		assert_int_equal(delay, want[i]);
	}
	assert_int_equal(restart_decide(&p, &c, true, 2000, &delay), RESTART_LEAVE_FAILED);
}

static void a_long_good_run_wipes_the_slate(void **s)
{
	struct restart_policy p = { RESTART_ON_FAILURE, 1 };
	struct restart_count c = { 0 };
	uint64_t delay = 0;
	assert_int_equal(restart_decide(&p, &c, true, 0, &delay), RESTART_AGAIN);
	assert_int_equal(restart_decide(&p, &c, true, RESTART_WINDOW_MS, &delay), RESTART_AGAIN);
	assert_int_equal(delay, RESTART_FIRST_MS);
	assert_int_equal(
	    restart_decide(&p, &c, true, RESTART_WINDOW_MS - 1, &delay), RESTART_LEAVE_FAILED);
}

static void always_never_gives_up(void **s)
{
	struct restart_policy p = { RESTART_ALWAYS, 0 };
	struct restart_count c = { 0 };
	uint64_t delay = 0;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(restart_decide(&p, &c, true, 0, &delay), RESTART_AGAIN);
	assert_int_equal(delay, RESTART_LONGEST_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(policies),
		cmocka_unit_test(backs_off_and_gives_up),
		cmocka_unit_test(a_long_good_run_wipes_the_slate),
		cmocka_unit_test(always_never_gives_up) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
