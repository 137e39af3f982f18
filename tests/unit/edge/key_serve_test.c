#include "../../../src/edge/key_serve.c"
#include "../unit.h"

/* More connections do not bring more signatures. */
static void test_one_limit_for_all(void **state)
{
	static struct key_server s = { .signs_max = 100 };
	struct peer one = { .s = &s }, two = { .s = &s };
	unsigned given = 0;
	uint64_t began;
	do { /* not across the end of a second */
		began = clock_mono_ms() / 1000;
		s.second = given = 0;
		for (int i = 0; i < 200; i++)
			given += may_sign(one.s) + may_sign(two.s);
	} while (clock_mono_ms() / 1000 != began);
	assert_int_equal(given, 100);
	s.second--;
	assert_true(may_sign(two.s));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_limit_for_all) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
