#include "../unit.h"
#include "base/daemon.h"
#include "base/str.h"

static void places_follow_root_and_instance(void **s)
{
	struct places p;
	struct err e;
	assert_ok(places_init(&p, NULL, NULL, &e), e);
	assert_string_equal(p.run, "/run/ward");
	assert_ok(places_init(&p, "/tmp/x", "demo", &e), e);
	assert_string_equal(p.lib, "/tmp/x/var/lib/demo");
	assert_int_equal(places_init(&p, "relative", NULL, &e), -EINVAL);
	assert_int_equal(places_init(&p, "/a/../b", NULL, &e), -EINVAL);
	assert_int_equal(places_init(&p, NULL, "Bad/Name", &e), -EINVAL);
	assert_int_equal(
	    places_init(&p,
		"/a-very-long-root-that-leaves-no-room-for-the-path-of-a-unix-socket-in-it", NULL,
		&e),
	    -EINVAL);
}

static void arguments_are_taken_out(void **s)
{
	struct places p;
	struct err e;
	const char *args[] = { "prog", "--root", "/tmp/r", "x", "--instance", "i", "y", NULL };
	char **argv = (char **)(uintptr_t)args;
	int argc = 7;
	assert_ok(places_from_args(&p, &argc, &argv, &e), e);
	assert_int_equal(argc, 3);
	assert_string_equal(argv[1], "x");
	assert_string_equal(argv[2], "y");
	assert_string_equal(p.etc, "/tmp/r/etc/i");
}

static void passed_fds_are_found_by_name(void **s)
{
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "api:vault", 1);
	assert_int_equal(daemon_passed_fd("other"), -1);
	assert_int_equal(daemon_passed_fd("ap"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_follow_root_and_instance),
		cmocka_unit_test(arguments_are_taken_out),
		cmocka_unit_test(passed_fds_are_found_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
