#include "../unit.h"
#include "supervisor/swap.h"
#include <string.h>

static bool crypt_is_safe(const char *path)
{
	return !strcmp(path, "/dev/zram0") || !strcmp(path, "/dev/dm-1");
}

static const char *plain(const char *text)
{
	static char found[64];
	swap_parse(text, crypt_is_safe, found, sizeof(found));
	return found;
}

#define HEADING "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

static void the_first_plain_area_is_found(void **state)
{
	assert_string_equal(plain(""), "");
	assert_string_equal(plain(HEADING), "");
	assert_string_equal(
	    plain(HEADING "/dev/zram0 partition 1 0 -2\n/dev/dm-1\tpartition 1 0 -3\n"), "");
	assert_string_equal(
	    plain(HEADING
		"/dev/dm-1\tpartition\t1\t0\t-3\n/dev/sda2 partition 1 0 -2\n/swap file 1 0 -2\n"),
	    "/dev/sda2");
	assert_string_equal(plain(HEADING "/swapfile file 1 0 -2"), "/swapfile");
}

static void this_host_can_be_read(void **state)
{
	char found[64] = "x";
	struct err e;
	assert_ok(swap_find_plain(found, sizeof(found), &e), e);
	assert_true(!found[0] || found[0] == '/');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_plain_area_is_found),
		cmocka_unit_test(this_host_can_be_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
