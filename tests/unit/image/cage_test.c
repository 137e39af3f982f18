/* What an image's bytes could do if they took over the process that reads them: nothing but read
 * and write what it has open. */
#include "../unit.h"
#include "image/cage.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

static int kept, other;

/* Runs `act` in the merger's cage: its exit code, or 1000 + the signal that ended it. */
static int in_cage(int (*act)(void))
{
	pid_t pid = fork();
	if (pid == 0) {
		struct err e;
		if (cage_merger(&kept, 1, &e) < 0)
			_exit(99);
		_exit(act());
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int works(void)
{
	char *p = malloc(1 << 20);
	return p && write(kept, "x", 1) == 1 ? 7 : 1;
}

static int reads_a_file(void)
{
	return open("/etc/passwd", O_RDONLY) < 0 ? 8 : 1;
}

static int writes_a_file(void)
{
	return open("/tmp/ward-cage-test", O_WRONLY | O_CREAT, 0600) < 0 ? 8 : 1;
}

static int makes_a_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? 8 : 1;
}

static int connects_to_a_daemon(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? 8 : 1;
}

static int starts_a_program(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return 8;
}

static int forks(void)
{
	return fork() < 0 ? 8 : 1;
}

static int signals_another(void)
{
	return kill(getppid(), 0) < 0 ? 8 : 1;
}

static int uses_an_fd_it_should_not_have(void)
{
	return fcntl(other, F_GETFD) < 0 ? 8 : 1;
}

static int takes_all_memory(void)
{
	for (size_t i = 0; i < 64; i++) {
		volatile char *p = malloc(1UL << 28);
		if (!p)
			return 8;
		p[0] = 1;
	}
	return 1;
}

static void the_cage_holds(void **s)
{
	static const struct {
		const char *what;
		int (*act)(void);
	} cases[] = { { "read a file", reads_a_file }, { "write a file", writes_a_file },
		{ "open a network socket", makes_a_socket },
		{ "open a unix socket", connects_to_a_daemon },
		{ "start a program", starts_a_program }, { "fork", forks },
		{ "signal its parent", signals_another },
		{ "use another fd", uses_an_fd_it_should_not_have },
		{ "take 16 GiB", takes_all_memory } };
	kept = open("/dev/null", O_WRONLY);
	other = open("/dev/null", O_WRONLY);
	assert_true(kept >= 0 && other >= 0);
	assert_int_equal(in_cage(works), 7);
	for (size_t i = 0; i < countof(cases); i++) {
		int got = in_cage(cases[i].act);
		if (got != 8 && got != 1000 + SIGSYS)
			fail_msg("the caged process could %s (%d)", cases[i].what, got);
	}
	assert_int_equal(access("/tmp/ward-cage-test", F_OK), -1);
	close(kept);
	close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_cage_holds) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
