#include "../unit.h"
#include "base/file.h"
#include "base/str.h"
#include "supervisor/record.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static pid_t sleeper(const char *name)
{
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, name);
		pause();
		_exit(0);
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void a_process_is_itself_and_no_other(void **state)
{
	struct err e;
	struct process p, q;
	pid_t pid = sleeper("a) R 1 (b"); /* a name made to confuse */
	usleep(20000);
	assert_ok(process_look(pid, &p, &e), e);
	assert_int_equal(p.pid, pid);
	assert_true(p.start_ticks > 0);
	assert_ok(process_look(getpid(), &q, &e), e);
	assert_true(q.start_ticks <= p.start_ticks);

	int fd = process_open(&p, &e);
	assert_true(fd >= 0);
	close(fd);
	p.start_ticks--;
	assert_int_equal(process_open(&p, &e), -ESRCH);
	p.start_ticks++;
	end(pid);
	assert_int_equal(process_open(&p, &e), -ESRCH);
	assert_int_equal(process_look(pid, &p, &e), -ESRCH);
}

/* Who cannot tell whether it is gone must not say so: a second one would be started beside it. */
static void gone_is_said_only_when_it_is(void **state)
{
	struct err e;
	struct process p;
	struct rlimit before;
	assert_ok(process_look(getpid(), &p, &e), e);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, before.rlim_max }), 0);
	int opened = process_open(&p, &e), looked = process_look(getpid(), &p, &e);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(opened, -EMFILE);
	assert_int_equal(looked, -EMFILE);
}

static void *wait_for_end(void *fd)
{
	char c;
	(void)!write(((int *)fd)[1], &(pid_t){ gettid() }, sizeof(pid_t));
	(void)!read(((int *)fd)[2], &c, 1);
	return NULL;
}

static void a_thread_that_took_the_number_is_not_it(void **state)
{
	struct err e;
	int in[2], out[2];
	assert_int_equal(pipe(in) | pipe(out), 0);
	pthread_t t;
	pid_t tid;
	assert_int_equal(
	    pthread_create(&t, NULL, wait_for_end, (int[]){ in[0], in[1], out[0] }), 0);
	assert_int_equal(read(in[0], &tid, sizeof(tid)), sizeof(tid));
	assert_int_equal(process_open(&(struct process){ tid, 1 }, &e), -ESRCH);
	close(out[1]);
	pthread_join(t, NULL);
	close(in[0]);
	close(in[1]);
	close(out[0]);
}

static void the_program_is_compared(void **state)
{
	char self[300];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	assert_true(n > 0);
	self[n] = 0;
	assert_true(process_runs(getpid(), self));
	assert_false(process_runs(getpid(), "/usr/bin/etcd"));
	assert_false(process_runs(0, self));
}

static void records_come_back_in_the_same_boot_alone(void **state)
{
	struct err e;
	struct places p = { .instance = "x" };
	str_copy(p.run, sizeof(p.run), "/tmp/ward-record-XXXXXX");
	assert_non_null(mkdtemp(p.run));
	char path[200];
	snprintf(path, sizeof(path), "%s/wardd", p.run);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/wardd/units", p.run);
	assert_int_equal(mkdir(path, 0700), 0);

	cleanup_json json_t *o = json_pack("{s:i}", "pid", 7), *back = NULL;
	int64_t pid = 0;
	assert_int_equal(record_read(&p, "units", "a", &back, &e), -ENOENT);
	assert_ok(record_write(&p, "units", "a", o, &e), e);
	assert_ok(record_read(&p, "units", "a", &back, &e), e);
	assert_ok(json_need_int(back, "", "pid", 0, 100, &pid, &e), e);
	assert_int_equal(pid, 7);

	snprintf(path, sizeof(path), "%s/wardd/units/a", p.run);
	json_object_set_new(back, "boot", json_string("an-earlier-one"));
	assert_ok(json_write_file(AT_FDCWD, path, back, 0600, &e), e);
	json_t *none = NULL;
	assert_int_equal(record_read(&p, "units", "a", &none, &e), -ENOENT);
	assert_null(none);
	record_remove(&p, "units", "a");
	assert_int_equal(access(path, F_OK), -1);
	assert_ok(dir_remove(AT_FDCWD, p.run, &e), e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_is_itself_and_no_other),
		cmocka_unit_test(gone_is_said_only_when_it_is),
		cmocka_unit_test(a_thread_that_took_the_number_is_not_it),
		cmocka_unit_test(the_program_is_compared),
		cmocka_unit_test(records_come_back_in_the_same_boot_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
