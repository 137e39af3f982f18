/* What the agent takes for the store it knew, across its own restarts. The view is the test's. */
#include "../../../src/agent/trust.c"
#include "../unit.h"
#include <fcntl.h>

static struct agent a;
static int64_t revision;
static const char *cluster;
static bool synced;
static char dir[] = "/tmp/ward-trust-test-XXXXXX";

bool store_view_synced(const struct store_view *v)
{
	return synced;
}

int64_t store_view_revision(const struct store_view *v)
{
	return revision;
}

const char *store_view_cluster(const struct store_view *v)
{
	return cluster;
}

void machines_turn_all(struct agent *agent)
{
}

static bool trusts(const char *of, int64_t at)
{
	cluster = of;
	revision = at;
	trust_update(&a);
	return a.trusted;
}

static void restart(void)
{
	int fd = a.machines_fd;
	a = (struct agent){ .machines_fd = fd, .view = (void *)dir };
	trust_load(&a);
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/ward-trust-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	a.machines_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(a.machines_fd >= 0);
	synced = true;
	restart();
	return 0;
}

static int teardown(void **state)
{
	unlinkat(a.machines_fd, "seen.json", 0);
	close(a.machines_fd);
	rmdir(dir);
	return 0;
}

static void another_cluster_is_refused_by_the_next_agent_too(void **state)
{
	assert_true(trusts("11", 500));
	assert_false(trusts("22", 900));
	restart();
	assert_false(trusts("22", 900));
	assert_true(trusts("11", 501));
}

static void an_older_store_is_refused(void **state)
{
	assert_true(trusts("11", 500));
	restart();
	assert_false(trusts("11", 400));
	assert_true(trusts("11", 600));
}

static void nothing_is_trusted_before_the_view_is_whole(void **state)
{
	synced = false;
	assert_false(trusts("11", 500));
}

/* A file of the former version knows no cluster: the first one seen is taken. */
static void a_cluster_not_yet_known_is_learned(void **state)
{
	struct err e;
	cleanup_json json_t *old = json_pack("{s:i,s:i}", "v", 1, "revision", 500);
	assert_ok(json_write_file(a.machines_fd, "seen.json", old, 0600, &e), e);
	restart();
	assert_true(trusts("11", 501));
	restart();
	assert_false(trusts("22", 501));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(another_cluster_is_refused_by_the_next_agent_too),
		T(an_older_store_is_refused), T(nothing_is_trusted_before_the_view_is_whole),
		T(a_cluster_not_yet_known_is_learned) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
