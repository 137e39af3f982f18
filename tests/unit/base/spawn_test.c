#include "../unit.h"
#include "base/spawn.h"
#include "base/str.h"
#include <fcntl.h>
#include <sys/wait.h>

#define ARGV(...)                                                                                  \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static struct spawn program(const char *const *argv)
{
	return (struct spawn){
		.path = argv[0], .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1
	};
}

static void output_comes_back(void **state)
{
	struct err e;
	cleanup_free char *out = NULL;
	struct spawn s = program(ARGV("/bin/echo", "a b", "c"));
	assert_ok(spawn_run(&s, 5000, 100, &out, &e), e);
	assert_string_equal(out, "a b c\n");
}

static void the_environment_is_scrubbed(void **state)
{
	struct err e;
	cleanup_free char *out = NULL;
	setenv("SECRET_OF_PARENT", "x", 1);
	struct spawn s = program(ARGV("/usr/bin/env"));
	s.env = ARGV("ONLY=this");
	assert_ok(spawn_run(&s, 5000, 1000, &out, &e), e);
	assert_string_equal(out, "ONLY=this\n");
}

/* Two fds passed in crossed order, one of them where the other must go: both arrive, nothing else
 * does. */
static void exactly_the_named_fds_arrive(void **state)
{
	struct err e;
	int fd = open("/dev/null", O_RDONLY); /* not close-on-exec: must still not arrive */
	int a = open("/dev/zero", O_RDONLY), b = open("/dev/full", O_RDONLY);
	assert_true(fd > 0 && a > 0 && b > 0);
	if (a != 4) {
		dup2(a, 4);
		dup2(b, 3);
		a = 4;
		b = 3;
	}
	cleanup_free char *out = NULL;
	struct spawn s = program(ARGV("/bin/ls", "-l", "--time-style=+", "/proc/self/fd/0",
	    "/proc/self/fd/1", "/proc/self/fd/3", "/proc/self/fd/4"));
	struct spawn_fd fds[] = { { a, "zero" }, { b, "full" } };
	s.fds = fds;
	s.nfds = 2;
	assert_ok(spawn_run(&s, 5000, 4000, &out, &e), e);
	assert_non_null(strstr(out, "/proc/self/fd/0 -> /dev/null"));
	assert_non_null(strstr(out, "/proc/self/fd/3 -> /dev/zero"));
	assert_non_null(strstr(out, "/proc/self/fd/4 -> /dev/full"));
	free(steal_ptr(&out));

	struct spawn env = program(ARGV("/usr/bin/env"));
	env.fds = fds;
	env.nfds = 2;
	assert_ok(spawn_run(&env, 5000, 4000, &out, &e), e);
	assert_string_equal(out, "LISTEN_FDS=2\nLISTEN_FDNAMES=zero:full\n");
	free(steal_ptr(&out));

	struct spawn count = program(ARGV("/bin/ls", "/proc/self/fd"));
	count.fds = fds;
	count.nfds = 2;
	assert_ok(spawn_run(&count, 5000, 4000, &out, &e), e);
	assert_string_equal(out, "0\n1\n2\n3\n4\n5\n"); /* 5 is ls's own */
}

static void failures_tell_what_happened(void **state)
{
	struct err e;
	struct spawn missing = program(ARGV("/nonexistent/program"));
	assert_int_equal(spawn_run(&missing, 5000, 10, NULL, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent/program"));

	struct spawn fails = program(ARGV("/bin/ls", "/nonexistent-file"));
	assert_int_equal(spawn_run(&fails, 5000, 100, NULL, &e), -EIO);
	assert_non_null(strstr(e.text, "code 2"));
	assert_non_null(strstr(e.text, "nonexistent-file"));

	struct spawn slow = program(ARGV("/bin/sleep", "60"));
	assert_int_equal(spawn_run(&slow, 100, 10, NULL, &e), -ETIMEDOUT);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */

	struct spawn loud = program(ARGV("/bin/echo", "0123456789"));
	cleanup_free char *out = NULL;
	assert_int_equal(spawn_run(&loud, 5000, 5, &out, &e), -EMSGSIZE);
	assert_null(out);
}

static void a_pidfd_watches_it(void **state)
{
	struct err e;
	struct spawn s = program(ARGV("/bin/true"));
	pid_t pid;
	int fd = -1, status;
	assert_ok(spawn_start(&s, &pid, &fd, &e), e);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_comes_back),
		cmocka_unit_test(the_environment_is_scrubbed),
		cmocka_unit_test(exactly_the_named_fds_arrive),
		cmocka_unit_test(failures_tell_what_happened),
		cmocka_unit_test(a_pidfd_watches_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
