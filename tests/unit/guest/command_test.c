#include "../unit.h"
#include "guest/command.h"
#include <string.h>

/* Joins argv with '|', so that a rule is one line. */
static const char *argv_of(const char *image, const char *init)
{
	static char joined[256];
	char text[1024];
	struct runconf c;
	struct command cmd;
	struct err e = { 0 };
	snprintf(
	    text, sizeof text, "{\"v\":1,\"generation\":1,\"image\":%s,\"init\":%s}", image, init);
	assert_ok(runconf_parse(text, strlen(text), &c, &e), e);
	int r = command_plan(&c, &cmd, &e);
	joined[0] = 0;
	if (r < 0) {
		snprintf(joined, sizeof joined, "refused");
	} else {
		for (size_t i = 0; cmd.argv[i]; i++)
			snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s%s",
			    i ? "|" : "", cmd.argv[i]);
		command_done(&cmd);
	}
	runconf_done(&c);
	return joined;
}

static void entrypoint_and_cmd(void **state)
{
	static const struct {
		const char *image, *init, *want;
	} rules[] = {
		{ "{\"cmd\":[\"a\",\"b\"]}", "{}", "a|b" },
		{ "{\"entrypoint\":[\"e\"]}", "{}", "e" },
		{ "{\"entrypoint\":[\"e\",\"-x\"],\"cmd\":[\"a\",\"b\"]}", "{}", "e|-x|a|b" },
		/* cmd replaces the image's cmd, and keeps its entrypoint */
		{ "{\"entrypoint\":[\"e\"],\"cmd\":[\"a\"]}", "{\"cmd\":[\"c\",\"d\"]}", "e|c|d" },
		/* entrypoint replaces the entrypoint, and the image's cmd was meant for the old one
		 */
		{ "{\"entrypoint\":[\"e\"],\"cmd\":[\"a\"]}", "{\"entrypoint\":[\"n\"]}", "n" },
		{ "{\"entrypoint\":[\"e\"],\"cmd\":[\"a\"]}",
		    "{\"entrypoint\":[\"n\"],\"cmd\":[\"c\"]}", "n|c" },
		/* exec replaces all */
		{ "{\"entrypoint\":[\"e\"],\"cmd\":[\"a\"]}",
		    "{\"exec\":[\"x\",\"y\"],\"entrypoint\":[\"n\"],\"cmd\":[\"c\"]}", "x|y" },
		/* empty lists and null are "not given" */
		{ "{\"entrypoint\":[],\"cmd\":[\"a\"]}",
		    "{\"exec\":[],\"entrypoint\":null,\"cmd\":[]}", "a" },
		{ "{}", "{}", "refused" },
		{ "{\"cmd\":[\"\"]}", "{}", "refused" },
	};
	for (size_t i = 0; i < countof(rules); i++)
		assert_string_equal(argv_of(rules[i].image, rules[i].init), rules[i].want);
}

static void environment_image_then_config(void **state)
{
	static const char text[] = "{\"v\":1,\"generation\":1,\"image\":{\"cmd\":[\"a\"],\"env\":["
				   "\"A=image\",\"B=image=2\",\"BARE\",\"=x\"]},"
				   "\"env\":{\"A\":\"config\",\"C\":\"\"},\"init\":{\"tty\":true}}";
	struct runconf c;
	struct command cmd;
	struct err e = { 0 };
	assert_ok(runconf_parse(text, sizeof text - 1, &c, &e), e);
	assert_ok(command_plan(&c, &cmd, &e), e);
	assert_string_equal(env_get(cmd.env, "A"), "config");
	assert_string_equal(env_get(cmd.env, "B"), "image=2");
	assert_string_equal(env_get(cmd.env, "C"), "");
	assert_string_equal(env_get(cmd.env, "TERM"), "xterm");
	assert_non_null(strstr(env_get(cmd.env, "PATH"), "/usr/bin"));
	assert_null(env_get(cmd.env, "BARE"));
	size_t n = 0;
	while (cmd.env[n])
		n++;
	assert_int_equal(n, 5);
	command_done(&cmd);
	runconf_done(&c);
}

static void the_image_may_set_path(void **state)
{
	static const char text[] =
	    "{\"v\":1,\"generation\":1,\"image\":{\"cmd\":[\"a\"],\"env\":[\"PATH=/opt\"]}}";
	struct runconf c;
	struct command cmd;
	struct err e = { 0 };
	assert_ok(runconf_parse(text, sizeof text - 1, &c, &e), e);
	assert_ok(command_plan(&c, &cmd, &e), e);
	assert_string_equal(env_get(cmd.env, "PATH"), "/opt");
	command_done(&cmd);
	runconf_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entrypoint_and_cmd),
		cmocka_unit_test(environment_image_then_config),
		cmocka_unit_test(the_image_may_set_path),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
