#include "../unit.h"
#include "edge/timer.h"

static unsigned count;
static void expired(struct timer *t)
{
	count++;
}

static void test_order(void **state)
{
	struct timers ts;
	struct timer a = { .expired = expired }, b = { .expired = expired };
	timers_init(&ts);
	assert_int_equal(timers_wait(&ts, 0), 250);
	timer_set(&ts, &a, TIMER_LINGER, 1000); /* at 3000 */
	timer_set(&ts, &b, TIMER_LINGER, 1500);
	timer_set(&ts, &a, TIMER_LINGER, 2000); /* moved behind b: at 4000 */
	assert_int_equal(timers_wait(&ts, 3400), 100);
	timers_run(&ts, 3499);
	assert_int_equal(count, 0);
	timers_run(&ts, 3500);
	assert_int_equal(count, 1);
	timer_clear(&a);
	timer_clear(&a); /* may be repeated */
	timers_run(&ts, 100000);
	assert_int_equal(count, 1);
}

static void test_move_between_classes(void **state)
{
	struct timers ts;
	struct timer a = { .expired = expired };
	count = 0;
	timers_init(&ts);
	timer_set(&ts, &a, TIMER_LINGER, 0);
	timer_set(&ts, &a, TIMER_IDLE, 0);
	timers_run(&ts, 10000);
	assert_int_equal(count, 0);
	timers_run(&ts, 75000);
	assert_int_equal(count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_order),
		cmocka_unit_test(test_move_between_classes) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
