#include "../unit.h"
#include "base/buf.h"
#include "base/str.h"
#include "http/url.h"

static int parse(struct url *u, const char *text)
{
	struct err e;
	return url_parse(u, (struct bytes){ text, strlen(text) }, &e);
}

static void decodes_path_and_query(void **state)
{
	struct url u;
	assert_int_equal(
	    parse(&u, "/v1/apps/caf%C3%A9?state=started&state=stopped&x=a+b%26c&flag&e="), 0);
	assert_string_equal(u.path, "/v1/apps/caf\xc3\xa9");
	assert_string_equal(url_param(&u, "state", 0), "started");
	assert_string_equal(url_param(&u, "state", 1), "stopped");
	assert_null(url_param(&u, "state", 2));
	assert_string_equal(url_param(&u, "x", 0), "a b&c");
	assert_string_equal(url_param(&u, "flag", 0), "");
	assert_string_equal(url_param(&u, "e", 0), "");
	assert_null(url_param(&u, "none", 0));
	url_done(&u);
	assert_int_equal(parse(&u, "/?%41=%42"), 0);
	assert_string_equal(url_param(&u, "A", 0), "B");
	url_done(&u);
	assert_int_equal(parse(&u, "/a%2Bb+c"), 0);
	assert_string_equal(u.path, "/a+b+c");
	url_done(&u);
}

static void refuses_what_could_be_read_in_two_ways(void **state)
{
	static const char *const bad[] = { "", "v1", "/a/../b", "/..", "/%2e%2e/x", "/a/./b",
		"/a//b", "/a/", "/a%2fb", "/a%00b", "/a%zz", "/a%4", "/a%", "/a#b", "/a%0ab",
		"/a?x=%ff", "/%c0%af", "/%ed%a0%80", "/a?%" };
	for (size_t i = 0; i < countof(bad); i++) {
		struct url u;
		if (parse(&u, bad[i]) == 0)
			fail_msg("accepted %s as %s", bad[i], u.path);
		assert_null(u.memory);
	}
}

static void bounds_the_parameters(void **state)
{
	struct buf b;
	buf_init(&b, 4096);
	assert_int_equal(buf_add_str(&b, "/?"), 0);
	for (int i = 0; i < URL_PARAMS_MAX; i++)
		assert_int_equal(buf_printf(&b, "k%d=v&", i), 0);
	struct url u;
	assert_int_equal(parse(&u, b.data), 0);
	assert_int_equal(u.nparams, URL_PARAMS_MAX);
	url_done(&u);
	assert_int_equal(buf_add_str(&b, "one=more"), 0);
	assert_int_equal(parse(&u, b.data), -EINVAL);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_path_and_query),
		cmocka_unit_test(refuses_what_could_be_read_in_two_ways),
		cmocka_unit_test(bounds_the_parameters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
