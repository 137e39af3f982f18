#include "../unit.h"
#include "base/clock.h"

static void formats_and_parses_rfc3339(void **s)
{
	char text[CLOCK_RFC3339_SIZE];
	uint64_t us;
	clock_format_rfc3339(text, 1767323045678901);
	assert_string_equal(text, "2026-01-02T03:04:05.678901Z");
	assert_int_equal(clock_parse_rfc3339(text, &us), 0);
	assert_true(us == 1767323045678901);
	assert_int_equal(clock_parse_rfc3339("2026-01-02T03:04:05Z", &us), 0);
	assert_true(us == 1767323045000000);
	static const char *const bad[] = { "", "2026-01-02", "2026-13-02T03:04:05Z",
		"2026-02-30T03:04:05Z", "2026-01-02T03:04:05", "2026-01-02T03:04:05.Z",
		"2026-01-02T03:04:05Zx", "2026-01-02T03:04:05+00:00" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(clock_parse_rfc3339(bad[i], &us), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(formats_and_parses_rfc3339) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
