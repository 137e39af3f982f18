#include "../unit.h"
#include "base/str.h"
#include "proto/owners.h"

static struct err e;

static int parse(const char *text, json_t **ret)
{
	return owners_parse(text, strlen(text), ret, &e);
}

static void what_is_written_is_read(void **s)
{
	const struct owner a = { "0123456789abcd", "web", "app1", "local" },
			   b = { "ffffffffffffff", "db", "app2", "far" };
	cleanup_json json_t *table = owners_new(), *again = NULL;
	struct owner o;
	assert_int_equal(owners_add(table, &a), 0);
	assert_int_equal(owners_add(table, &b), 0);
	cleanup_free char *text = json_format(table);
	assert_ok(parse(text, &again), e);
	assert_true(owners_find(again, "ffffffffffffff", &o));
	assert_string_equal(o.machine, b.machine);
	assert_string_equal(o.app, "db");
	assert_string_equal(o.app_id, "app2");
	assert_string_equal(o.region, "far");
	assert_true(owners_find(again, a.machine, &o));
	assert_string_equal(o.app_id, "app1");
	assert_false(owners_find(again, "00000000000000", &o));
	assert_false(owners_find(NULL, a.machine, &o));
}

static void what_cannot_be_is_not_found_and_harms_no_other(void **s)
{
	cleanup_json json_t *table = NULL;
	struct owner o;
	static const char *const bad[] = { "1", "{}", "{\"app\":\"a\",\"app_id\":\"b\"}",
		"{\"app\":\"a\",\"app_id\":\"../b\",\"region\":\"r\"}",
		"{\"app\":\"a\",\"app_id\":\"\",\"region\":\"r\"}",
		"{\"app\":\"a/b\",\"app_id\":\"b\",\"region\":\"r\"}" };
	for (size_t i = 0; i < countof(bad); i++) {
		char text[400];
		snprintf(text, sizeof(text),
		    "{\"v\":1,\"machines\":{\"0123456789abcd\":%s,\"ffffffffffffff\":"
		    "{\"app\":\"web\",\"app_id\":\"x\",\"region\":\"r\"}}}",
		    bad[i]);
		json_decref(table);
		table = NULL;
		assert_ok(parse(text, &table), e);
		if (owners_find(table, "0123456789abcd", &o))
			fail_msg("found: %s", bad[i]);
		assert_true(owners_find(table, "ffffffffffffff", &o));
	}
}

static void another_form_is_refused(void **s)
{
	static const char *const bad[] = { "", "[]", "{}", "{\"v\":1}", "{\"v\":2,\"machines\":{}}",
		"{\"v\":1,\"machines\":[]}" };
	for (size_t i = 0; i < countof(bad); i++) {
		json_t *table = NULL;
		if (parse(bad[i], &table) >= 0)
			fail_msg("taken: %s", bad[i]);
		assert_null(table);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(what_cannot_be_is_not_found_and_harms_no_other),
		cmocka_unit_test(another_form_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
