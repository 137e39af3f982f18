#include "../unit.h"
#include "guest/runconf.h"
#include <signal.h>
#include <string.h>

static void a_whole_config(void **state)
{
	static const char text[] =
	    "{\"v\":1,\"generation\":7,\"machine_id\":\"m\",\"hostname\":\"h\",\"ipv4\":\"172.19.0."
	    "2\",\"ipv4_gateway\":\"172.19.0.1\","
	    "\"dns\":[\"fdaa::3\"],\"files\":[{\"guest_path\":\"/"
	    "a\",\"raw_value\":\"aGk=\",\"mode\":384},{\"guest_path\":\"/b\",\"mode\":0}],"
	    "\"stop\":{\"signal\":\"SIGUSR1\",\"timeout_ms\":100},\"scratch\":\"/dev/"
	    "vdb\",\"later\":{\"unknown\":1}}";
	struct runconf c;
	struct err e = { 0 };
	assert_ok(runconf_parse(text, sizeof text - 1, &c, &e), e);
	assert_int_equal(c.generation, 7);
	assert_string_equal(c.ipv4, "172.19.0.2");
	assert_null(c.ipv6);
	assert_int_equal(c.nfiles, 2);
	assert_int_equal(c.files[0].len, 2);
	assert_memory_equal(c.files[0].data, "hi", 2);
	assert_int_equal(c.files[0].mode, 0600);
	assert_int_equal(c.files[1].len, 0);
	assert_int_equal(c.files[1].mode, 0644);
	assert_int_equal(c.stop_signal, SIGUSR1);
	assert_int_equal(c.stop_timeout_ms, 100);
	runconf_done(&c);
}

static void stop_has_defaults(void **state)
{
	struct runconf c;
	struct err e = { 0 };
	assert_ok(runconf_parse("{\"v\":1,\"generation\":1}", 22, &c, &e), e);
	assert_int_equal(c.stop_signal, SIGINT);
	assert_int_equal(c.stop_timeout_ms, 5000);
	runconf_done(&c);
}

static void what_is_wrong_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"v\":2,\"generation\":1}",
		"{\"v\":1,\"generation\":0}",
		"{\"v\":1,\"generation\":\"1\"}",
		"{\"v\":1,\"generation\":1,\"env\":{\"A\":1}}",
		"{\"v\":1,\"generation\":1,\"env\":{\"A=B\":\"\"}}",
		"{\"v\":1,\"generation\":1,\"env\":{\"\":\"x\"}}",
		"{\"v\":1,\"generation\":1,\"image\":{\"cmd\":[1]}}",
		"{\"v\":1,\"generation\":1,\"stop\":{\"signal\":\"SIGNOPE\"}}",
		"{\"v\":1,\"generation\":1,\"stop\":{\"timeout_ms\":-1}}",
		"{\"v\":1,\"generation\":1,\"files\":[{\"guest_path\":\"relative\"}]}",
		"{\"v\":1,\"generation\":1,\"files\":[{\"guest_path\":\"/a\",\"raw_value\":\"!\"}]}",
		"{\"v\":1,\"generation\":1,\"files\":[{\"guest_path\":\"/a\",\"mode\":4096}]}",
		"{\"v\":1,\"generation\":1,\"files\":[3]}",
		"{\"v\":1,\"generation\":1} x",
		"{\"v\":1,\"v\":1,\"generation\":1}",
	};
	for (size_t i = 0; i < countof(bad); i++) {
		struct runconf c;
		struct err e = { 0 };
		if (runconf_parse(bad[i], strlen(bad[i]), &c, &e) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_true(strlen(e.text) > 0);
	}
}

static void signals(void **state)
{
	assert_int_equal(signal_parse("SIGTERM"), SIGTERM);
	assert_int_equal(signal_parse("INT"), SIGINT);
	assert_int_equal(signal_parse("9"), 9);
	assert_int_equal(signal_parse("0"), -1);
	assert_int_equal(signal_parse("SIG"), -1);
	assert_int_equal(signal_parse("sigterm"), -1);
	assert_int_equal(signal_parse("65"), -1);
	assert_int_equal(signal_parse(""), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_config),
		cmocka_unit_test(stop_has_defaults),
		cmocka_unit_test(what_is_wrong_is_refused),
		cmocka_unit_test(signals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
