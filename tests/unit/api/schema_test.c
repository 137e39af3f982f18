#include "../unit.h"
#include "api/schema_config.h"
#include "api/schemas.h"
#include "base/str.h"

static struct err e;
static struct schema_warnings w;

static int check(const struct schema *s, const char *text, bool closed)
{
	cleanup_json json_t *j = NULL;
	memset(&w, 0, sizeof(w));
	memset(&e, 0, sizeof(e));
	assert_ok(json_parse(text, strlen(text), &j, &e), e);
	return schema_check(s, j, closed, &w, &e);
}

static void refuses(const struct schema *s, const char *text, enum err_code code, const char *part)
{
	if (check(s, text, false) == 0)
		fail_msg("accepted %s", text);
	if (e.code != code || !strstr(e.text, part))
		fail_msg("%s: [%s] %s (wanted \"%s\")", text, err_code_name(e.code), e.text, part);
}

static void takes_a_whole_machine(void **state)
{
	static const char machine[] =
	    "{\"name\":\"web-1\",\"region\":\"local\",\"lease_ttl\":30,\"config\":{"
	    "\"image\":\"registry.example.org:5000/a/"
	    "b:1.2@sha256:0123\",\"env\":{\"A_1\":\"x\",\"B\":\"\"},"
	    "\"init\":{\"cmd\":[\"run\",\"-v\"],\"tty\":false},"
	    "\"guest\":{\"cpu_kind\":\"shared\",\"cpus\":2,\"memory_mb\":512},"
	    "\"services\":[{\"protocol\":\"tcp\",\"internal_port\":8080,\"autostop\":false,"
	    "\"ports\":[{\"port\":443,\"handlers\":[\"tls\",\"http\"]}],"
	    "\"checks\":[{\"type\":\"http\",\"path\":\"/"
	    "up\",\"interval\":\"15s\",\"timeout\":2000000000}]}],"
	    "\"checks\":{\"alive\":{\"type\":\"tcp\",\"port\":8080,\"kind\":\"readiness\"}},"
	    "\"restart\":{\"policy\":\"on-failure\",\"max_retries\":3},\"auto_destroy\":true,"
	    "\"stop_config\":{\"signal\":\"SIGTERM\",\"timeout\":\"30s\"},\"mounts\":[],"
	    "\"statics\":null,"
	    "\"files\":[{\"guest_path\":\"/etc/a\",\"raw_value\":\"aGk=\",\"mode\":420}],"
	    "\"metadata\":{\"team\":\"a\"},\"dns\":{\"skip_registration\":true},\"rootfs\":{\"size_"
	    "gb\":4}}}";
	assert_ok(check(&schema_machine_create, machine, true), e);
	assert_int_equal(w.count, 0);
}

static void says_where_and_what(void **state)
{
	const struct schema *s = &schema_machine_create;
	refuses(s, "[]", ERR_INVALID, "the body must be an object, not a list");
	refuses(s, "{}", ERR_INVALID, "config is missing");
	refuses(s, "{\"config\":{}}", ERR_INVALID, "config.image is missing");
	refuses(s, "{\"config\":null}", ERR_INVALID, "config is missing");
	refuses(s, "{\"config\":{\"image\":7}}", ERR_INVALID,
	    "config.image must be a string, not an integer");
	refuses(s, "{\"config\":{\"image\":\"--rm\"}}", ERR_INVALID,
	    "config.image must be an image reference");
	refuses(s, "{\"config\":{\"image\":\"a b\"}}", ERR_INVALID, "config.image");
	refuses(s, "{\"config\":{\"image\":\"a\",\"guest\":{\"cpus\":33}}}", ERR_INVALID,
	    "config.guest.cpus must be between 0 and 32, not 33");
	refuses(s, "{\"config\":{\"image\":\"a\",\"guest\":{\"cpus\":1.5}}}", ERR_INVALID,
	    "not a fraction");
	refuses(s, "{\"config\":{\"image\":\"a\",\"env\":{\"1A\":\"x\"}}}", ERR_INVALID,
	    "config.env the name \"1A\"");
	refuses(s, "{\"config\":{\"image\":\"a\",\"env\":{\"A\":1}}}", ERR_INVALID,
	    "config.env.A must be a string");
	refuses(
	    s, "{\"config\":{\"image\":\"a\",\"env\":{\"A\":null}}}", ERR_INVALID, "config.env.A");
	refuses(s, "{\"config\":{\"image\":\"a\",\"files\":[{\"guest_path\":\"/a/../b\"}]}}",
	    ERR_INVALID, "config.files.0.guest_path");
	refuses(s,
	    "{\"config\":{\"image\":\"a\",\"files\":[{\"guest_path\":\"/"
	    "a\",\"raw_value\":\"a\"}]}}",
	    ERR_INVALID, "must be base64");
	refuses(s, "{\"config\":{\"image\":\"a\",\"restart\":{\"policy\":\"maybe\"}}}", ERR_INVALID,
	    "config.restart.policy must be one of \"\", \"no\", \"on-failure\", \"always\", not "
	    "\"maybe\"");
	refuses(s, "{\"config\":{\"image\":\"a\",\"stop_config\":{\"timeout\":\"6m\"}}}",
	    ERR_INVALID, "config.stop_config.timeout must be between 0 and 300000 ms, not 360000");
	refuses(s, "{\"config\":{\"image\":\"a\",\"stop_config\":{\"timeout\":\"soon\"}}}",
	    ERR_INVALID, "must be a duration");
	refuses(s, "{\"config\":{\"image\":\"a\",\"services\":[{}]}}", ERR_INVALID,
	    "config.services.0.internal_port is missing");
	refuses(s, "{\"name\":\"Web\",\"config\":{\"image\":\"a\"}}", ERR_INVALID,
	    "name must be lower-case");
	refuses(&schema_signal, "{}", ERR_INVALID, "signal is missing");
	refuses(&schema_lease, "{\"ttl\":0}", ERR_INVALID, "ttl must be between 1 and 86400");
}

static void refuses_what_is_not_built(void **state)
{
	const struct schema *s = &schema_machine_create;
	refuses(s, "{\"config\":{\"image\":\"a\",\"mounts\":[{\"volume\":\"v\",\"path\":\"/d\"}]}}",
	    ERR_UNSUPPORTED, "config.mounts is not supported yet");
	refuses(s, "{\"config\":{\"image\":\"a\",\"guest\":{\"gpus\":1}}}", ERR_UNSUPPORTED,
	    "config.guest.gpus");
	refuses(s, "{\"config\":{\"image\":\"a\",\"schedule\":\"daily\"}}", ERR_UNSUPPORTED,
	    "config.schedule");
	/* data that would be lost at the next stop */
	refuses(s, "{\"config\":{\"image\":\"a\",\"rootfs\":{\"persist\":\"always\"}}}",
	    ERR_INVALID, "config.rootfs.persist");
	refuses(s, "{\"config\":{\"image\":\"a\",\"guest\":{\"persist_rootfs\":\"restart\"}}}",
	    ERR_INVALID, "config.guest.persist_rootfs");
	assert_ok(
	    check(s, "{\"config\":{\"image\":\"a\",\"schedule\":\"\",\"guest\":{\"gpus\":0}}}",
		false),
	    e);
}

static void unknown_fields_are_errors_or_warnings(void **state)
{
	static const char typo[] = "{\"config\":{\"image\":\"a\",\"gest\":{},\"zzzzzzz\":1}}";
	assert_ok(check(&schema_machine_create, typo, false), e);
	assert_int_equal(w.count, 2);
	assert_non_null(strstr(w.text[0], "is not known here"));
	assert_int_equal(
	    check(&schema_machine_create, "{\"config\":{\"image\":\"a\",\"gest\":{}}}", true),
	    -EINVAL);
	assert_int_equal(e.code, ERR_UNKNOWN_KEY);
	assert_string_equal(e.text, "config.gest is not a known field; did you mean \"guest\"?");
	assert_int_equal(
	    check(&schema_deploy, "{\"groups\":[],\"strategyy\":\"rolling\"}", true), -EINVAL);

	assert_ok(
	    check(&schema_machine_create,
		"{\"config\":{\"image\":\"a\",\"metrics\":{\"port\":9091,\"path\":\"/m\"}}}", true),
	    e);
	assert_int_equal(w.count, 1);
	assert_string_equal(w.text[0], "config.metrics is kept, but nothing acts on it yet");
}

static void warnings_are_bounded(void **state)
{
	assert_ok(
	    check(&schema_stop,
		"{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1}",
		false),
	    e);
	assert_int_equal(w.count, 10);
}

static void counts_are_bounded(void **state)
{
	struct buf b;
	buf_init(&b, 1 << 20);
	assert_int_equal(buf_add_str(&b, "{\"groups\":["), 0);
	for (int i = 0; i < 17; i++)
		assert_int_equal(buf_printf(&b, "%s{\"name\":\"g%d\",\"config\":{\"image\":\"a\"}}",
				     i ? "," : "", i),
		    0);
	assert_int_equal(buf_add_str(&b, "]}"), 0);
	refuses(&schema_deploy, b.data, ERR_INVALID,
	    "groups must be between 1 and 16 items long, not 17");
	refuses(&schema_deploy, "{\"groups\":[]}", ERR_INVALID, "groups must be between 1 and 16");
	buf_done(&b);
}

static void deep_paths_are_cut_not_overrun(void **state)
{
	struct buf b;
	buf_init(&b, 1 << 20);
	assert_int_equal(buf_add_str(&b, "{\"config\":{\"image\":\"a\",\"env\":{\""), 0);
	for (int i = 0; i < 250; i++)
		assert_int_equal(buf_add_str(&b, "A"), 0);
	assert_int_equal(buf_add_str(&b, "\":7}}}"), 0);
	refuses(&schema_machine_create, b.data, ERR_INVALID, "config.env.AAAA");
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_whole_machine),
		cmocka_unit_test(says_where_and_what),
		cmocka_unit_test(refuses_what_is_not_built),
		cmocka_unit_test(unknown_fields_are_errors_or_warnings),
		cmocka_unit_test(warnings_are_bounded),
		cmocka_unit_test(counts_are_bounded),
		cmocka_unit_test(deep_paths_are_cut_not_overrun),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
