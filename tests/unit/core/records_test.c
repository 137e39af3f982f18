#include "../unit.h"
#include "base/str.h"
#include "core/records.h"

static json_t *parse(const char *text)
{
	struct err e;
	json_t *j = NULL;
	assert_ok(json_parse(text, strlen(text), &j, &e), e);
	return j;
}

static const char desired_text[] =
    "{\"v\":1,\"id\":\"0123456789abcd\",\"app\":\"aaaabbbbccccdddd\",\"app_name\":\"shop\","
    "\"group\":\"web\","
    "\"name\":\"one\",\"region\":\"home\",\"instance_id\":\"01J00000000000000000000000\","
    "\"version\":3,"
    "\"release\":2,\"start_seq\":1,\"restart_seq\":4,\"want\":\"stopped\",\"stop\":{\"signal\":"
    "\"SIGTERM\","
    "\"timeout_ms\":700,\"force\":true},\"cordoned\":true,\"skip_launch\":false,\"number\":9,"
    "\"network\":77,"
    "\"created_at\":\"2026-01-01T00:00:00Z\",\"updated_at\":\"2026-01-01T00:00:01Z\",\"metadata\":{"
    "\"k\":\"v\"},"
    "\"config\":{\"image\":\"x\",\"guest\":{\"cpus\":2,\"memory_mb\":512},\"rootfs\":{\"size_gb\":"
    "3},"
    "\"restart\":{\"policy\":\"always\"},\"stop_config\":{\"signal\":\"SIGQUIT\",\"timeout\":"
    "\"8s\"},"
    "\"services\":[{\"internal_port\":80,\"checks\":[{\"type\":\"tcp\"}]}],\"auto_destroy\":true}}";

static void desired_round_trip(void **s)
{
	struct err e;
	struct desired d, again;
	cleanup_json json_t *j = parse(desired_text);
	assert_ok(desired_parse(j, &d, &e), e);
	assert_int_equal(d.size.cpus, 2);
	assert_int_equal(d.size.memory_mib, 512);
	assert_int_equal(d.size.scratch_gib, 3);
	assert_int_equal(d.restart.kind, RESTART_ALWAYS);
	assert_string_equal(d.config_signal, "SIGQUIT");
	assert_int_equal(d.config_timeout_ms, 8000);
	assert_string_equal(d.stop_signal, "SIGTERM");
	assert_true(d.stop_force && d.cordoned && d.auto_destroy && d.has_checks && d.has_services);
	assert_int_equal(d.want, WANT_STOPPED);
	cleanup_json json_t *out = desired_format(&d);
	assert_true(json_equal(out, j));
	assert_ok(desired_parse(out, &again, &e), e);
	desired_done(&again);
	desired_done(&d);
}

static void desired_refuses(void **s)
{
	static const struct {
		const char *key, *value, *part;
	} rows[] = {
		{ "v", "2", "version 2" },
		{ "id", "\"../../etc/x\"", "id" },
		{ "id", "\"0123456789abcX\"", "machine's id" },
		{ "want", "\"maybe\"", "want" },
		{ "number", "0", "number" },
		{ "number", "65536", "number" },
		{ "network", "0", "network" },
		{ "version", "0", "version" },
		{ "config", "null", "config" },
		{ "config", "{\"guest\":{\"cpus\":0}}", "config.guest.cpus" },
		{ "config", "{\"guest\":{\"memory_mb\":1}}", "memory_mb" },
		{ "config", "{\"restart\":{\"policy\":\"sometimes\"}}", "policy" },
		{ "config", "{\"stop_config\":{\"timeout\":\"6m\"}}", "timeout" },
		{ "stop", "{\"timeout_ms\":-1}", "timeout_ms" },
	};
	for (size_t i = 0; i < countof(rows); i++) {
		struct err e;
		struct desired d;
		cleanup_json json_t *j = parse(desired_text);
		json_object_set_new(
		    j, rows[i].key, json_loads(rows[i].value, JSON_DECODE_ANY, NULL));
		assert_int_equal(desired_parse(j, &d, &e), -EINVAL);
		if (!strstr(e.text, rows[i].part))
			fail_msg("row %zu says: %s", i, e.text);
	}
}

static void defaults(void **s)
{
	struct err e;
	struct desired d = { 0 };
	cleanup_json json_t *config = parse("{\"image\":\"x\"}");
	assert_ok(desired_set_config(&d, config, &e), e);
	assert_int_equal(d.size.cpus, 1);
	assert_int_equal(d.size.memory_mib, 256);
	assert_int_equal(d.size.scratch_gib, SCRATCH_GIB_DEFAULT);
	assert_int_equal(d.restart.kind, RESTART_ON_FAILURE);
	assert_int_equal(d.restart.max_retries, RESTART_RETRIES_DEFAULT);
	assert_int_equal(d.config_timeout_ms, 5000);
	assert_false(d.has_checks || d.has_services || d.auto_destroy);
	desired_done(&d);
}

static void checks_are_summed(void **s)
{
	struct err e;
	struct checks c;
	cleanup_json json_t *j = parse("{\"v\":1,\"instance_id\":\"I\",\"generation\":4,\"checks\":"
				       "[{\"name\":\"a\",\"status\":\"passing\"},"
				       "{\"name\":\"b\",\"status\":\"warning\",\"output\":\"slow\"}"
				       ",{\"name\":\"c\",\"status\":\"critical\"}]}");
	assert_ok(checks_parse(j, &c, &e), e);
	assert_int_equal(c.total, 3);
	assert_int_equal(c.passing, 1);
	assert_int_equal(c.critical, 1);
	assert_int_equal(c.generation, 4);
	assert_string_equal(c.worst, "b: slow");
}

static void app_and_host(void **s)
{
	struct err e;
	struct app a;
	struct host h;
	cleanup_json json_t *j =
	    parse("{\"v\":1,\"id\":\"i\",\"name\":\"n\",\"org\":\"o\",\"network\":\"default\","
		  "\"network_id\":5,\"status\":\"deployed\",\"release\":3,\"deploy\":\"\","
		  "\"created_at\":\"\"}");
	assert_ok(app_parse(j, &a, &e), e);
	cleanup_json json_t *out = app_format(&a);
	assert_true(json_equal(j, out));
	json_object_set_new(j, "status", json_string("odd"));
	assert_int_equal(app_parse(j, &a, &e), -EINVAL);
	cleanup_json json_t *hj =
	    parse("{\"v\":1,\"name\":\"h\",\"region\":\"r\",\"id\":1,"
		  "\"cpus\":2,\"memory_mib\":3,\"disk_mib\":4,\"engine\":\"none\"}");
	assert_ok(host_parse(hj, &h, &e), e);
	assert_int_equal(h.disk_mib, 4);
	assert_false(h.runs_machines);
	json_object_set_new(hj, "engine", json_string("emulated"));
	assert_ok(host_parse(hj, &h, &e), e);
	assert_true(h.runs_machines);
	json_object_set_new(hj, "cpus", json_integer(0));
	assert_int_equal(host_parse(hj, &h, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(desired_round_trip),
		cmocka_unit_test(desired_refuses), cmocka_unit_test(defaults),
		cmocka_unit_test(checks_are_summed), cmocka_unit_test(app_and_host) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
