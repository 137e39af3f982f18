/* A merger that an image took over: it can say what it likes, and cannot hold up the converter. */
#include "../../../src/image/rootdisk.c"
#include "../unit.h"

static const struct rootdisk nobody = { .conn = -1 };

static void a_part_of_a_report_is_its_end(void **s)
{
	int p[2];
	struct children c = { 0 };
	assert_int_equal(pipe(p), 0);
	c.reports = p[0];
	alarm(5); /* the writer's end stays open */
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_int_equal(take_report(&c, &nobody), 0);
	alarm(0);
	close(p[0]);
	close(p[1]);
}

static void its_words_are_plain(void **s)
{
	int p[2];
	struct children c = { 0 };
	struct report m = { .final = 1, .result = -EINVAL, .code = ERR_IMAGE };
	memset(m.text, 'x', sizeof(m.text));
	memcpy(m.text, "a\x1b[2Jb\n\xc3\xa9", 9);
	assert_int_equal(pipe(p), 0);
	c.reports = p[0];
	assert_int_equal(write(p[1], &m, sizeof(m)), sizeof(m));
	assert_int_equal(take_report(&c, &nobody), 1);
	assert_memory_equal(c.last.text, "a?[2Jb???x", 10);
	assert_int_equal(strlen(c.last.text), sizeof(m.text) - 1);
	close(p[0]);
	close(p[1]);
}

static void it_does_not_outlive_its_pipes(void **s)
{
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	alarm(10);
	int status = end_of(&pid, false);
	alarm(0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && pid == 0);
	pid = fork();
	if (pid == 0)
		_exit(3);
	status = end_of(&pid, false);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_part_of_a_report_is_its_end),
		cmocka_unit_test(its_words_are_plain),
		cmocka_unit_test(it_does_not_outlive_its_pipes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
