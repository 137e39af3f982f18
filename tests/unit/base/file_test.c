#include "../unit.h"
#include "base/file.h"
#include "base/str.h"
#include <fcntl.h>
#include <sys/stat.h>

static char dir[] = "/tmp/ward-file-test-XXXXXX";

static int setup(void **s)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **s)
{
	struct err e;
	return dir_remove(AT_FDCWD, dir, &e);
}

static void writes_whole_and_reads_back_within_bounds(void **s)
{
	struct err e;
	cleanup_close int d = dir_open(AT_FDCWD, dir, &e);
	assert_true(d >= 0);
	assert_ok(file_write(d, "a", "hello", 5, 0640, &e), e);
	assert_ok(file_write(d, "a", "hello!", 6, 0600, &e), e);
	cleanup_free char *text = NULL;
	size_t len;
	assert_ok(file_read(d, "a", 6, &text, &len, &e), e);
	assert_int_equal(len, 6);
	assert_string_equal(text, "hello!");
	char *none = NULL;
	assert_int_equal(file_read(d, "a", 5, &none, NULL, &e), -EMSGSIZE);
	assert_int_equal(e.code, ERR_TOO_LARGE);
	assert_null(none);
	struct stat st;
	assert_int_equal(fstatat(d, "a", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void refuses_links_and_devices(void **s)
{
	struct err e;
	cleanup_close int d = dir_open(AT_FDCWD, dir, &e);
	assert_int_equal(symlinkat("/etc/passwd", d, "link"), 0);
	char *text = NULL;
	assert_true(file_read(d, "link", 1 << 20, &text, NULL, &e) < 0);
	assert_int_equal(mkfifoat(d, "fifo", 0600), 0);
	assert_int_equal(file_read(d, "fifo", 100, &text, NULL, &e), -EINVAL);
	assert_int_equal(dir_make(d, "link", 0700, &e), -EINVAL);
	assert_null(text);
}

static void remove_does_not_follow_links(void **s)
{
	struct err e;
	cleanup_close int d = dir_open(AT_FDCWD, dir, &e);
	assert_ok(dir_make(d, "keep", 0700, &e), e);
	assert_ok(file_write(d, "keep/file", "x", 1, 0600, &e), e);
	assert_ok(dir_make(d, "tree", 0700, &e), e);
	assert_ok(dir_make(d, "tree/sub", 0700, &e), e);
	assert_int_equal(symlinkat("../keep", d, "tree/link"), 0);
	assert_ok(dir_remove(d, "tree", &e), e);
	assert_int_equal(faccessat(d, "keep/file", F_OK, 0), 0);
	assert_int_equal(faccessat(d, "tree", F_OK, 0), -1);
	assert_ok(dir_remove(d, "tree", &e), e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_whole_and_reads_back_within_bounds),
		cmocka_unit_test(refuses_links_and_devices),
		cmocka_unit_test(remove_does_not_follow_links),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
