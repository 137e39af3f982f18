#include "../unit.h"
#include "link/utf8.h"
#include <string.h>

#define BAD "\xef\xbf\xbd"

static void check(const char *in, size_t n, const char *want)
{
	char out[64];
	size_t len = utf8_clean(out, in, n);
	out[len] = 0;
	assert_string_equal(out, want);
}

static void what_is_text_stays(void **state)
{
	check("plain", 5, "plain");
	check("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7", 15,
	    "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7");
	check("tab\tesc\x1b", 8, "tab\tesc\x1b");
}

static void what_is_not_is_replaced(void **state)
{
	check("a\0b", 3, "a" BAD "b");
	check("\xff", 1, BAD);
	check("\xc3", 1, BAD);
	check("\xc0\x80", 2, BAD BAD);                 /* overlong NUL */
	check("\xe0\x80\x80", 3, BAD BAD BAD);         /* overlong */
	check("\xed\xa0\x80", 3, BAD BAD BAD);         /* a surrogate */
	check("\xf4\x90\x80\x80", 4, BAD BAD BAD BAD); /* above U+10FFFF */
	check("\xe2\x82x", 3, BAD BAD "x");
	check("\xf0\x9f\x90", 3, BAD BAD BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_text_stays),
		cmocka_unit_test(what_is_not_is_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
