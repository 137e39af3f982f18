#include "../unit.h"
#include "base/cgroup.h"
#include "base/file.h"
#include "base/str.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static bool all(const char *mount, const char *controller)
{
	return true;
}
static bool memory_alone(const char *mount, const char *controller)
{
	return streq(controller, "memory");
}
static bool none(const char *mount, const char *controller)
{
	return false;
}

#define V2       "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define OTHER    "23 1 8:1 / / rw - ext4 /dev/cgroup rw,cpu,memory,pids\n"
#define V1(list) "31 23 0:27 / /sys/fs/cgroup/" list " rw shared:5 - cgroup cgroup rw," list "\n"

static void v2_holds_all(void **state)
{
	struct cgroups c;
	struct err e;
	assert_ok(cgroups_parse(&c, OTHER V2, all, &e), e);
	for (int i = 0; i < CGROUP_MAX; i++) {
		assert_true(c.v2[i]);
		assert_string_equal(c.mount[i], "/sys/fs/cgroup");
	}
}

static void v1_is_found_by_its_options(void **state)
{
	struct cgroups c;
	struct err e;
	assert_ok(
	    cgroups_parse(&c, V1("cpu,cpuacct") V1("pids") V1("memory") OTHER V2, none, &e), e);
	assert_string_equal(c.mount[CGROUP_CPU], "/sys/fs/cgroup/cpu,cpuacct");
	assert_string_equal(c.mount[CGROUP_MEMORY], "/sys/fs/cgroup/memory");
	assert_string_equal(c.mount[CGROUP_PIDS], "/sys/fs/cgroup/pids");
	assert_false(c.v2[CGROUP_CPU]);
}

static void both_may_share_the_work(void **state)
{
	struct cgroups c;
	struct err e;
	assert_ok(cgroups_parse(&c, V2 V1("cpuacct") V1("cpu") V1("pids"), memory_alone, &e), e);
	assert_true(c.v2[CGROUP_MEMORY]);
	assert_false(c.v2[CGROUP_CPU]);
	assert_string_equal(c.mount[CGROUP_CPU], "/sys/fs/cgroup/cpu");
}

static void a_missing_controller_is_named(void **state)
{
	struct cgroups c;
	struct err e;
	assert_true(cgroups_parse(&c, V1("cpu") V1("memory") V2, none, &e) < 0);
	assert_int_equal(e.code, ERR_WALL);
	assert_non_null(strstr(e.text, "pids"));
	assert_true(cgroups_parse(&c, "", all, &e) < 0);
	assert_true(cgroups_parse(&c, "a b - cgroup\nx - cgroup2 y z", none, &e) < 0);
}

/* On this host, whichever version it has: a group with limits, a process in it, its end. Needs
 * root. */
static void a_group_lives_and_ends(void **state)
{
	struct cgroups c;
	struct err e;
	if (getuid() != 0 || cgroups_find(&c, &e) < 0 || access(c.mount[CGROUP_PIDS], W_OK)) {
		print_message("needs root and a writable cgroup\n");
		skip();
	}
	char name[40];
	snprintf(name, sizeof(name), "ward-unit-%d/child", getpid());
	assert_false(cgroup_exists(&c, name));
	assert_ok(cgroup_make(&c, name, &(struct cgroup_limits){ 50, 64 << 20, 10 }, &e), e);
	assert_ok(
	    cgroup_make(&c, name, &(struct cgroup_limits){ 75, 96 << 20, 20 }, &e), e); /* again */
	assert_true(cgroup_exists(&c, name));
	pid_t pid = fork(), seen[4];
	if (pid == 0) {
		if (cgroup_enter(&c, name, &e) < 0)
			_exit(1);
		pause();
	}
	for (int i = 0; i < 500 && cgroup_pids(&c, name, seen, 4, &e) != 1; i++)
		usleep(2000);
	assert_int_equal(cgroup_pids(&c, name, seen, 4, &e), 1);
	assert_int_equal(seen[0], pid);
	assert_true(cgroup_remove(&c, name, &e) < 0); /* while it lives */
	assert_ok(cgroup_kill(&c, name, 3000, &e), e);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(cgroup_oom_kills(&c, name), 0);
	*strchr(name, '/') = 0;
	assert_ok(cgroup_remove(&c, name, &e), e); /* with what is below it */
	assert_false(cgroup_exists(&c, name));
	assert_ok(cgroup_remove(&c, name, &e), e);
}

static void put(const char *dir, const char *name, const char *text)
{
	struct err e;
	char path[200];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_ok(file_write(AT_FDCWD, path, text, strlen(text), 0600, &e), e);
}

/* A folder in the place of a hierarchy: what the kernel would answer is chosen here. */
static void stand_in(struct cgroups *c, char dir[], char group[200])
{
	assert_non_null(mkdtemp(dir));
	*c = (struct cgroups){ 0 };
	for (int i = 0; i < CGROUP_MAX; i++)
		snprintf(c->mount[i], sizeof(c->mount[i]), "%s", dir);
	snprintf(group, 200, "%s/x", dir);
	assert_int_equal(mkdir(group, 0700), 0);
}

static void swap_that_cannot_be_limited_is_an_error(void **state)
{
	struct cgroups c;
	struct err e;
	char dir[] = "/tmp/ward-cgroup-XXXXXX", group[200], swappiness[220];
	stand_in(&c, dir, group);
	put(group, "memory.limit_in_bytes", "");
	struct cgroup_limits l = { .memory = 1 << 20 };
	assert_ok(cgroup_make(&c, "x", &l, &e), e); /* a kernel that does not count swap */
	snprintf(swappiness, sizeof(swappiness), "%s/memory.swappiness", group);
	assert_int_equal(mkdir(swappiness, 0700), 0);
	assert_int_equal(cgroup_make(&c, "x", &l, &e), -EISDIR);
	assert_non_null(strstr(e.text, "swappiness"));
	assert_ok(dir_remove(AT_FDCWD, dir, &e), e);
}

/* The kernel shows 0 for a process of a pid namespace that the reader cannot see: kill(0) would be
 * our own group. */
static void a_process_without_a_number_is_not_ourselves(void **state)
{
	struct cgroups c;
	struct err e;
	char dir[] = "/tmp/ward-cgroup-XXXXXX", group[200];
	stand_in(&c, dir, group);
	put(group, "cgroup.procs", "0\n");
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		_exit(cgroup_kill(&c, "x", 20, &e) == -EBUSY ? 7 : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_ok(dir_remove(AT_FDCWD, dir, &e), e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v2_holds_all),
		cmocka_unit_test(v1_is_found_by_its_options),
		cmocka_unit_test(both_may_share_the_work),
		cmocka_unit_test(a_missing_controller_is_named),
		cmocka_unit_test(a_group_lives_and_ends),
		cmocka_unit_test(swap_that_cannot_be_limited_is_an_error),
		cmocka_unit_test(a_process_without_a_number_is_not_ourselves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
