#include "../unit.h"
#include "base/rights.c"
#include "base/str.h"

/* Lowering one's own score is refused on many hosts, so a file stands for /proc's. */
static void wardds_protection_is_not_for_what_it_starts(void **state)
{
	static const char *const cases[][2] = { { "-900\n", "0900\n" }, { "300\n", "300\n" },
		{ "0\n", "0\n" } };
	for (size_t i = 0; i < countof(cases); i++) {
		struct err e;
		char path[] = "/tmp/ward-rights-XXXXXX";
		cleanup_free char *text = NULL;
		cleanup_close int fd = mkstemp(path);
		assert_true(fd >= 0);
		assert_int_equal(io_write_all(fd, cases[i][0], strlen(cases[i][0])), 0);
		assert_ok(spare_no_more(path, &e), e);
		assert_ok(file_read(AT_FDCWD, path, 32, &text, NULL, &e), e);
		assert_string_equal(
		    text, cases[i][1]); /* /proc takes the "0" written at its start alone */
		unlink(path);
	}
	struct err e;
	assert_true(spare_no_more("/proc/self/none", &e) < 0);
	assert_ok(rights_oom_reset(&e), e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wardds_protection_is_not_for_what_it_starts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
