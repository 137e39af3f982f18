#include "../unit.h"
#include "core/duration.h"
#include <string.h>

static void good(void **s)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = { { "10s", 10000 }, { "1m21s", 81000 }, { "1.5s", 1500 }, { "250ms", 250 },
		{ "2h", 7200000 }, { "0", 0 }, { "1h0m0.25s", 3600250 }, { "1500us", 2 },
		{ "3000000ns", 3 } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t ms = -1;
		assert_true(duration_parse_ms(rows[i].text, &ms));
		assert_int_equal(ms, rows[i].ms);
	}
}

static void bad(void **s)
{
	static const char *const rows[] = { "", "10", "s", "-1s", "1x", "1s ", " 1s", "1.2.3s",
		".s", "1000000000h", "99999999999999999999999999999999s" };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t ms = 7;
		assert_false(duration_parse_ms(rows[i], &ms));
		assert_int_equal(ms, 7);
	}
}

static void members(void **s)
{
	struct err e;
	const char *text = "{\"a\":\"2s\",\"b\":5000000000,\"c\":true,\"d\":null,\"f\":-1}";
	cleanup_json json_t *j = NULL;
	int64_t ms = 1;
	assert_ok(json_parse(text, strlen(text), &j, &e), e);
	assert_ok(duration_opt_ms(j, "", "a", &ms, &e), e);
	assert_int_equal(ms, 2000);
	assert_ok(duration_opt_ms(j, "", "b", &ms, &e), e);
	assert_int_equal(ms, 5000);
	assert_ok(duration_opt_ms(j, "", "d", &ms, &e), e);
	assert_ok(duration_opt_ms(j, "", "absent", &ms, &e), e);
	assert_int_equal(ms, 5000);
	assert_int_equal(duration_opt_ms(j, "stop_config", "c", &ms, &e), -EINVAL);
	assert_non_null(strstr(e.text, "stop_config.c"));
	assert_int_equal(duration_opt_ms(j, "", "f", &ms, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(good), cmocka_unit_test(bad),
		cmocka_unit_test(members) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
