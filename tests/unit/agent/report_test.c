/* What a host tells of itself, beat by beat. The store and the other parts of the agent are the
 * test's. */
#include "../../../src/agent/report.c"
#include "../unit.h"

static struct agent a;
static char dir[] = "/tmp/ward-report-test-XXXXXX";
static unsigned hosts_told;
static json_int_t told_disk;
static const char *listed[4], *deleted[4];
static size_t ndeleted;

int store_put(struct store *s, const char *key, json_t *value, int64_t lease, struct err *e)
{
	if (str_starts(key, "hosts/")) {
		hosts_told++;
		told_disk = json_integer_value(json_object_get(value, "disk_mib"));
	}
	return 0;
}

int store_delete(struct store *s, const char *key, struct err *e)
{
	for (size_t i = 0; i < countof(listed) && listed[i]; i++)
		if (streq(listed[i], key))
			deleted[ndeleted++] = listed[i];
	return 0;
}

int store_list(struct store *s, const char *prefix,
    int (*fn)(void *arg, const char *key, json_t *value, int64_t rev, struct err *e), void *arg,
    int64_t *ret_rev, struct err *e)
{
	assert_string_equal(prefix, "observed/h1/");
	for (size_t i = 0; i < countof(listed) && listed[i]; i++)
		(void)fn(arg, listed[i], NULL, 1, e);
	return 0;
}

int store_lease_grant(struct store *s, int64_t ttl_s, int64_t *ret_lease, struct err *e)
{
	*ret_lease = 7;
	return 0;
}

int store_lease_keep(struct store *s, int64_t lease, int64_t *ret_ttl_s, struct err *e)
{
	*ret_ttl_s = 10;
	return 0;
}

struct machine *machine_find(struct agent *agent, const char *id)
{
	struct machine *m = agent->machines;
	return m && streq(m->id, id) ? m : NULL;
}

void trust_update(struct agent *agent)
{
}

void taps_list(struct agent *agent)
{
}

void cages_refresh(struct agent *agent)
{
}

void names_write(struct agent *agent)
{
}

static void beat(unsigned times)
{
	sd_event_source *s = NULL;
	assert_true(
	    sd_event_add_time_relative(a.loop, &s, CLOCK_MONOTONIC, 0, 0, on_beat, &a) >= 0);
	while (times--)
		assert_int_equal(on_beat(s, 0, &a), 0);
	sd_event_source_disable_unref(s);
}

static void scratch(off_t bytes)
{
	static char block[1024 * 1024];
	int fd = openat(
	    a.machines_fd, "00000000000001/scratch.img", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (off_t n = 0; n < bytes; n += (off_t)sizeof(block))
		assert_int_equal(pwrite(fd, block, sizeof(block), n), sizeof(block));
	close(fd);
}

static int setup(void **state)
{
	assert_non_null(mkdtemp(dir));
	a = (struct agent){ .host = "h1", .region = "home", .host_id = 1, .taps_known = true };
	str_copy(a.places.lib, sizeof(a.places.lib), dir);
	char path[64];
	snprintf(path, sizeof(path), "%s/machines", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	a.machines_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(a.machines_fd, "00000000000001", 0700), 0);
	assert_true(sd_event_new(&a.loop) >= 0);
	return 0;
}

static int teardown(void **state)
{
	unlinkat(a.machines_fd, "00000000000001/scratch.img", 0);
	unlinkat(a.machines_fd, "00000000000001", AT_REMOVEDIR);
	close(a.machines_fd);
	char path[64];
	snprintf(path, sizeof(path), "%s/machines", dir);
	rmdir(path);
	rmdir(dir);
	sd_event_unref(a.loop);
	return 0;
}

/* Told again when it has changed; and what a machine has of its disk is still the machines'. */
static void the_disk_is_told_again(void **state)
{
	static struct machine m = { .id = "00000000000001" };
	scratch(96 * 1024 * 1024);
	hosts_told = 0;
	beat(1);
	assert_int_equal(hosts_told, 1);
	json_int_t without = told_disk;
	beat(HOST_BEATS);
	assert_in_range(hosts_told, 1, 2); /* this disk is others' too */
	unsigned before = hosts_told;
	a.machines = &m;
	beat(HOST_BEATS);
	assert_int_equal(hosts_told, before + 1);
	assert_true(told_disk > without);
	a.machines = NULL;
}

static void records_of_machines_that_are_gone_go(void **state)
{
	static struct machine m = { .id = "00000000000001" };
	listed[0] = "observed/h1/00000000000001";
	listed[1] = "observed/h1/00000000000002";
	listed[2] = "observed/h1/checks/00000000000003";
	a.machines = &m;
	ndeleted = 0;
	beat(2);
	assert_int_equal(ndeleted, 0); /* not by a view that is not trusted */
	a.trusted = true;
	beat(REFRESH_BEATS);
	assert_int_equal(ndeleted, 1);
	assert_string_equal(deleted[0], "observed/h1/00000000000002");
	a.machines = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_disk_is_told_again),
		cmocka_unit_test(records_of_machines_that_are_gone_go),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
