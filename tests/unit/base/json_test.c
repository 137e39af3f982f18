#include "../unit.h"
#include "base/json.h"
#include "base/str.h"

static void strict_parse(void **s)
{
	static const char *const bad[] = { "", "{", "{}x", "{\"a\":1,\"a\":2}", "\"a\\u0000b\"",
		"[1,]", "nul" };
	for (size_t i = 0; i < countof(bad); i++) {
		json_t *j = NULL;
		struct err e;
		assert_int_equal(json_parse(bad[i], strlen(bad[i]), &j, &e), -EINVAL);
		assert_null(j);
	}
}

static void getters_name_the_key(void **s)
{
	struct err e;
	cleanup_json json_t *j = NULL;
	const char *text = "{\"s\":\"x\",\"n\":5,\"z\":null,\"b\":true}";
	assert_ok(json_parse(text, strlen(text), &j, &e), e);
	const char *str = "default";
	int64_t n = 0;
	assert_ok(json_opt_str(j, "", "z", &str, &e), e);
	assert_string_equal(str, "default");
	assert_ok(json_need_str(j, "", "s", &str, &e), e);
	assert_string_equal(str, "x");
	assert_int_equal(json_opt_int(j, "config.guest", "n", 1, 4, &n, &e), -EINVAL);
	assert_string_equal(e.text, "config.guest.n must be between 1 and 4");
	assert_int_equal(json_need_int(j, "", "absent", 0, 9, &n, &e), -EINVAL);
	assert_string_equal(e.text, "absent must be given");
	assert_int_equal(json_opt_str(j, "", "n", &str, &e), -EINVAL);
	assert_int_equal(n, 0);
}

static void depth_is_counted(void **s)
{
	struct err e;
	cleanup_json json_t *j = NULL;
	const char *text = "{\"a\":1,\"b\":[[],{\"c\":[\"x\"]}]}";
	assert_ok(json_parse(text, strlen(text), &j, &e), e);
	assert_true(json_is_deeper(j, 3));
	assert_false(json_is_deeper(j, 4));
	assert_false(json_is_deeper(json_object_get(j, "a"), 0));
	assert_false(json_is_deeper(NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(strict_parse),
		cmocka_unit_test(getters_name_the_key), cmocka_unit_test(depth_is_counted) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
