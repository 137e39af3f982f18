#include "../unit.h"
#include "base/str.h"
#include "proto/fly_config.h"
#include "proto/fly_units.h"

static int read_local(
    void *arg, const char *path, size_t max, char **ret, size_t *ret_len, struct err *e)
{
	if (!streq(path, "conf/app.ini"))
		return err_set(e, ERR_NOT_FOUND, "%s does not exist", path);
	*ret = strdup("k=v\n");
	*ret_len = 4;
	return 0;
}

static const struct fly_files files = { .read = read_local };

static int parse(const char *text, struct fly_config *c, struct err *e)
{
	*e = (struct err){ 0 };
	return fly_config_parse(text, strlen(text), &files, c, e);
}

struct accepted {
	const char *toml, *groups; /* groups: what is sent, as JSON */
};

#define GUEST   "\"guest\":{\"cpu_kind\":\"shared\",\"cpus\":1,\"memory_mb\":256}"
#define META(g) "\"metadata\":{\"fly_platform_version\":\"v2\",\"fly_process_group\":\"" g "\"}"
#define ENV(g)  "\"env\":{\"FLY_PROCESS_GROUP\":\"" g "\"}"
#define WEB_PORTS                                                                                  \
	"\"ports\":[{\"port\":80,\"handlers\":[\"http\"],\"force_https\":false},{\"port\":443,"    \
	"\"handlers\":[\"http\",\"tls\"]}]"

static const struct accepted accepted[] = {
	{ "app = 'a'",
	    "[{\"name\":\"app\",\"config\":{" ENV("app") "," GUEST "," META("app") "}}]" },
	{ "primary_region = 'par'\n[env]\nA = 'x'\nN = 5\nF = 0.5\nB = true",
	    "[{\"name\":\"app\",\"config\":{\"env\":{\"A\":\"x\",\"N\":\"5\",\"F\":\"0.5\",\"B\":"
	    "\"true\",\"FLY_PROCESS_GROUP\":\"app\",\"PRIMARY_REGION\":\"par\"}," GUEST
	    "," META("app") "}}]" },
	{ "[[env]]\nA = '1'\n[[env]]\nB = '2'",
	    "[{\"name\":\"app\",\"config\":{\"env\":{\"A\":\"1\",\"B\":\"2\",\"FLY_PROCESS_GROUP\":"
	    "\"app\"}," GUEST "," META("app") "}}]" },
	{ "kill_signal = 'SIGTERM'\nkill_timeout = 90",
	    "[{\"name\":\"app\",\"config\":{" ENV("app") "," GUEST "," META(
		"app") ",\"stop_config\":{\"signal\":\"SIGTERM\",\"timeout\":\"90s\"}}}]" },
	{ "kill_timeout = '1500ms'",
	    "[{\"name\":\"app\",\"config\":{" ENV("app") "," GUEST "," META(
		"app") ",\"stop_config\":{\"timeout\":\"1500ms\"}}}]" },
	{ "[http_service]\ninternal_port = 8080",
	    "[{\"name\":\"app\",\"config\":{" ENV("app") "," GUEST "," META(
		"app") ",\"services\":[{\"protocol\":\"tcp\",\"internal_port\":8080," WEB_PORTS
		       "}]}}]" },
	{ "[http_service]\ninternal_port = 8080\nauto_stop_machines = 'off'\nauto_start_machines = "
	  "false\nmin_machines_running = 1\nconcurrency = '20,25'\n"
	  "[[http_service.checks]]\ninterval = 500\ntimeout = '2s'\ngrace_period = '2m'\nmethod = "
	  "'get'\npath = '/h'\nheaders = {X-A = 'b'}",
	    "[{\"name\":\"app\",\"config\":{" ENV("app") "," GUEST "," META(
		"app") ",\"services\":[{\"protocol\":\"tcp\",\"internal_port\":8080," WEB_PORTS
		       ",\"concurrency\":{\"type\":\"requests\",\"soft_limit\":20,\"hard_limit\":"
		       "25}"
		       ",\"checks\":[{\"type\":\"http\",\"interval\":\"1s\",\"timeout\":\"2s\","
		       "\"grace_period\":\"60s\",\"method\":\"GET\",\"path\":\"/h\","
		       "\"headers\":[{\"name\":\"X-A\",\"values\":[\"b\"]}]}]}]}}]" },
	{ "[[services]]\ninternal_port = 5432\nprotocol = 'tcp'\n[[services.tcp_checks]]\ninterval "
	  "= '15s'",
	    "[{\"name\":\"app\",\"config\":{" ENV("app") "," GUEST "," META(
		"app") ",\"services\":[{\"protocol\":\"tcp\",\"internal_port\":5432,\"ports\":[],"
		       "\"checks\":[{\"type\":\"tcp\",\"interval\":\"15s\"}]}]}}]" },
	{ "[[services]]\ninternal_port = 80\n[[services.ports]]\nport = '80'\nhandlers = "
	  "['http']\nforce_https = true\n[[services.ports]]\nport = 443\nhandlers = ['tls', "
	  "'http']",
	    "[{\"name\":\"app\",\"config\":{" ENV("app") "," GUEST "," META(
		"app") ",\"services\":[{\"protocol\":\"tcp\",\"internal_port\":80,"
		       "\"ports\":[{\"port\":80,\"handlers\":[\"http\"],\"force_https\":true},{"
		       "\"port\":443,\"handlers\":[\"tls\",\"http\"]}]}]}}]" },
	{ "[processes]\nweb = \"run 'a b' \\\"c\\\\\\\"d\\\" e\\\\ f\"\nworker = ''\n[[vm]]\nsize "
	  "= 'shared-cpu-2x'\n[[vm]]\nprocesses = ['worker']\nmemory = '2gb'\ncpus = 4\n"
	  "[[restart]]\npolicy = 'never'\nprocesses = ['worker']",
	    "[{\"name\":\"web\",\"config\":{" ENV(
		"web") ",\"init\":{\"cmd\":[\"run\",\"a b\",\"c\\\"d\",\"e "
		       "f\"]},\"guest\":{\"cpu_kind\":\"shared\",\"cpus\":2,\"memory_mb\":512}"
		       "," META("web") "}},"
				       "{\"name\":\"worker\",\"config\":{" ENV(
					   "worker") ",\"guest\":{\"cpu_kind\":\"shared\",\"cpus\":"
						     "4,\"memory_mb\":2048}," META("worker") ",\"re"
											     "start"
											     "\":{"
											     "\"pol"
											     "icy\""
											     ":\"no"
											     "\"}}}"
											     "]" },
	{ "[http_service]\ninternal_port = 8080\n[checks.alive]\ntype = 'tcp'\ninterval = "
	  "'5s'\n[[restart]]\nretries = 3",
	    "[{\"name\":\"app\",\"config\":{" ENV("app") "," GUEST "," META(
		"app") ",\"services\":[{\"protocol\":\"tcp\",\"internal_port\":8080," WEB_PORTS
		       "}],"
		       "\"checks\":{\"alive\":{\"type\":\"tcp\",\"interval\":\"5s\",\"port\":8080}}"
		       ",\"restart\":{\"policy\":\"on-failure\",\"max_retries\":3}}}]" },
	{ "[[checks]]\nname = 'w'\ntype = 'http'\nport = 90\nheaders = [{name = 'A', value = 'b'}]",
	    "[{\"name\":\"app\",\"config\":{" ENV("app") "," GUEST "," META(
		"app") ",\"checks\":{\"w\":{\"type\":\"http\",\"port\":90,\"method\":\"GET\","
		       "\"path\":\"/\",\"headers\":[{\"name\":\"A\",\"values\":[\"b\"]}]}}}}]" },
	{ "[[files]]\nguest_path = '/etc/a'\nraw_value = 'hi'\n[[files]]\nguest_path = "
	  "'/etc/b'\nlocal_path = 'conf/app.ini'",
	    "[{\"name\":\"app\",\"config\":{" ENV("app") "," GUEST "," META(
		"app") ",\"files\":[{\"guest_path\":\"/etc/"
		       "a\",\"raw_value\":\"aGk=\"},{\"guest_path\":\"/etc/"
		       "b\",\"raw_value\":\"az12Cg==\"}]}}]" },
	{ "[vm]\ncpu_kind = 'performance'\ncpus = 2\n[experimental]\ncmd = ['a', 'b']\nentrypoint "
	  "= 'c d'\nauto_rollback = true",
	    "[{\"name\":\"app\",\"config\":{" ENV(
		"app") ",\"guest\":{\"cpu_kind\":\"performance\",\"cpus\":2,\"memory_mb\":4096},"
		       "\"init\":{\"cmd\":[\"a\",\"b\"],\"entrypoint\":[\"c\",\"d\"]}," META(
			   "app") "}}]" },
};

static void what_is_sent(void **s)
{
	for (size_t i = 0; i < countof(accepted); i++) {
		cleanup_fly_config struct fly_config c = { 0 };
		struct err e;
		if (parse(accepted[i].toml, &c, &e) < 0)
			fail_msg("refused: %s\n%s", e.text, accepted[i].toml);
		cleanup_json json_t *want = NULL;
		assert_ok(json_parse(accepted[i].groups, strlen(accepted[i].groups), &want, &e), e);
		cleanup_free char *seen = json_format(c.groups);
		if (!json_equal(want, c.groups))
			fail_msg("%s\nexpected %s\nseen     %s", accepted[i].toml,
			    accepted[i].groups, seen);
	}
}

static void the_deploy_body(void **s)
{
	cleanup_fly_config struct fly_config c = { 0 };
	struct err e;
	assert_ok(parse("app = 'shop'\n[build]\nimage = 'docker.io/x:1'\n[deploy]\nstrategy = "
			"'immediate'\nwait_timeout = '90s'\n[processes]\na = 'x'\nb = 'y'",
		      &c, &e),
	    e);
	assert_string_equal(c.app, "shop");
	assert_string_equal(c.image, "docker.io/x:1");
	cleanup_json json_t *body = NULL;
	assert_ok(fly_config_deploy_body(&c, "sha256:11", &body, &e), e);
	assert_string_equal(json_string_value(json_object_get(body, "strategy")), "immediate");
	assert_int_equal(json_integer_value(json_object_get(body, "wait_timeout_ms")), 90000);
	json_t *groups = json_object_get(body, "groups");
	assert_int_equal(json_array_size(groups), 2);
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(
		    json_string_value(json_object_get(
			json_object_get(json_array_get(groups, i), "config"), "image")),
		    "sha256:11");
	assert_null(
	    json_object_get(json_object_get(json_array_get(c.groups, 0), "config"), "image"));
}

static void adjusted_values_are_told(void **s)
{
	cleanup_fly_config struct fly_config c = { 0 };
	struct err e;
	assert_ok(
	    parse("[http_service]\ninternal_port = 80\n[[http_service.checks]]\ninterval = '10ms'",
		&c, &e),
	    e);
	assert_int_equal(json_array_size(c.warnings), 1);
	assert_string_equal(json_string_value(json_array_get(c.warnings, 0)),
	    "line 4: http_service.checks[0].interval is less than 1s; 1s is used");
}

struct refused {
	const char *toml;
	enum err_code code;
	const char *says;
};

static const struct refused refused[] = {
	{ "app = 'a'\n[http_service]\nintenal_port = 8080", ERR_UNKNOWN_KEY,
	    "line 3: http_service.intenal_port is not a known key; did you mean `internal_port`?" },
	{ "aap = 'a'", ERR_UNKNOWN_KEY, "did you mean `app`?" },
	{ "app = 'A_b'", ERR_INVALID, "line 1: app must be a name" },
	{ "[http_service]\nforce_https = true", ERR_INVALID,
	    "http_service.internal_port must be given" },
	{ "[http_service]\ninternal_port = '8080'", ERR_INVALID, "whole number" },
	{ "[http_service]\ninternal_port = 80\nauto_stop_machines = 'stop'", ERR_UNSUPPORTED,
	    "line 3: http_service.auto_stop_machines is not supported yet" },
	{ "[http_service]\ninternal_port = 80\nauto_stop_machines = true", ERR_UNSUPPORTED,
	    "line 3" },
	{ "[http_service]\ninternal_port = 80\nauto_start_machines = true", ERR_UNSUPPORTED,
	    "line 3" },
	{ "[http_service]\ninternal_port = 80\nauto_stop_machines = 'of'", ERR_INVALID,
	    "one of: off stop suspend" },
	{ "[http_service]\ninternal_port = 80\n[http_service.http_options]\nh2_backend = true",
	    ERR_UNSUPPORTED, "line 3: http_service.http_options" },
	{ "[http_service]\ninternal_port = 80\nhsts = true", ERR_UNSUPPORTED,
	    "line 3: http_service.hsts" },
	{ "[http_service]\ninternal_port = 80\nconcurrency = '9,5'", ERR_INVALID, "above" },
	{ "[http_service]\ninternal_port = 80\nconcurrency = '5'", ERR_INVALID, "soft,hard" },
	{ "[http_service]\ninternal_port = 80\n[[http_service.checks]]\nprotocol = 'https'",
	    ERR_UNSUPPORTED, "line 4" },
	{ "[http_service]\ninternal_port = 80\n[[http_service.checks]]\npath = 'x'", ERR_INVALID,
	    "must begin with /" },
	{ "[http_service]\ninternal_port = 80\n[[http_service.checks]]\ninterval = '5 minutes'",
	    ERR_INVALID, "duration" },
	{ "[http_service]\ninternal_port = 80\n[[http_service.checks]]\nheaders = {A = \"b\\r\\nC: "
	  "d\"}",
	    ERR_INVALID, "header" },
	{ "[mounts]\nsource = 'x'", ERR_UNSUPPORTED, "line 1: mounts is not supported yet" },
	{ "[[statics]]", ERR_UNSUPPORTED, "statics" },
	{ "swap_size_mb = 512", ERR_UNSUPPORTED, "swap_size_mb" },
	{ "[build]\ndockerfile = 'Dockerfile'", ERR_UNSUPPORTED, "line 2: build.dockerfile" },
	{ "[deploy]\nrelease_command = 'x'", ERR_UNSUPPORTED, "line 2: deploy.release_command" },
	{ "[deploy]\nstrategy = 'canary'", ERR_UNSUPPORTED,
	    "line 2: deploy.strategy \"canary\" is not supported yet" },
	{ "[deploy]\nstrategy = 'rollin'", ERR_INVALID, "one of" },
	{ "[deploy]\nwait_timeout = '2h'", ERR_INVALID, "between 1s and 1h" },
	{ "[experimental]\nauto_rollback = false", ERR_UNSUPPORTED, "line 2" },
	{ "[env]\nFLY_X = '1'", ERR_INVALID, "line 2: env.FLY_X is reserved" },
	{ "[env]\nA = []", ERR_INVALID, "must be a string" },
	{ "[env]\n'A=B' = '1'", ERR_INVALID, "not a name" },
	{ "[processes]\nweb = 'x'\n[http_service]\ninternal_port = 80", ERR_INVALID,
	    "line 3: http_service must say which `processes`" },
	{ "[processes]\nweb = 'x'\n[http_service]\ninternal_port = 80\nprocesses = ['wab']",
	    ERR_INVALID, "line 5: http_service.processes names \"wab\"" },
	{ "[processes]\nweb = \"x 'y\"", ERR_INVALID, "unclosed quote" },
	{ "[processes]\n'a b' = 'x'", ERR_INVALID, "process group" },
	{ "[[services]]\ninternal_port = 53\nprotocol = 'udp'", ERR_UNSUPPORTED, "udp" },
	{ "[[services]]\ninternal_port = 53\n[[services.ports]]\nport = 8080\nhandlers = ['http']",
	    ERR_UNSUPPORTED, "line 3: services[0].ports[0] is not supported yet" },
	{ "[[services]]\ninternal_port = 53\n[[services.ports]]\nport = 443\nhandlers = ['http']",
	    ERR_UNSUPPORTED, "ports[0]" },
	{ "[[services]]\ninternal_port = 53\n[[services.ports]]\nport = 443\nhandlers = ['pg_tls']",
	    ERR_UNSUPPORTED, "pg_tls" },
	{ "[[services]]\ninternal_port = 53\n[[services.ports]]\nport = 443\nhandlers = ['htp']",
	    ERR_INVALID, "the handlers are" },
	{ "[[services]]\ninternal_port = 53\n[[services.ports]]\nport = 443\nforce_https = true",
	    ERR_INVALID, "needs the http handler" },
	{ "[[services]]\ninternal_port = 53\n[[services.ports]]\nhandlers = ['http']", ERR_INVALID,
	    "port must be given" },
	{ "[checks.a]\nport = 1", ERR_INVALID, "type must be given" },
	{ "[checks.a]\ntype = 'tcp'", ERR_INVALID, "port must be given" },
	{ "[checks.a]\ntype = 'tcp'\nport = 1\ninterval = '1s'", ERR_INVALID, "at least 2s" },
	{ "[checks.a]\ntype = 'tcp'\nport = 1\ntimeout = '2m'", ERR_INVALID, "at most 60s" },
	{ "[[vm]]\nsize = 'shared-cpu-3x'", ERR_INVALID, "shared-cpu-3x" },
	{ "[[vm]]\nsize = 'performance-1 2x'", ERR_INVALID, "sizes are" },
	{ "[[vm]]\nmemory = '2 bytes'", ERR_INVALID, "512mb" },
	{ "[[vm]]\nmemory = '1mb'", ERR_INVALID, "between 64" },
	{ "[[vm]]\nmemory = '1gb'\nmemory_mb = 512", ERR_INVALID, "says again" },
	{ "[[vm]]\ngpu_kind = 'a10'", ERR_UNSUPPORTED, "vm[0].gpu_kind" },
	{ "[[vm]]\npersist_rootfs = 'always'", ERR_UNSUPPORTED, "persist_rootfs" },
	{ "[[restart]]\npolicy = 'sometimes'", ERR_INVALID, "one of: always never on-failure" },
	{ "[[files]]\nguest_path = 'x'\nraw_value = ''", ERR_INVALID, "absolute path" },
	{ "[[files]]\nguest_path = '/x'", ERR_INVALID, "one of raw_value" },
	{ "[[files]]\nguest_path = '/x'\nsecret_name = 's'", ERR_UNSUPPORTED, "secret_name" },
	{ "[[files]]\nguest_path = '/x'\nlocal_path = 'absent'", ERR_NOT_FOUND,
	    "line 3: files[0].local_path cannot be read" },
	{ "kill_signal = 'SIGHUP'", ERR_INVALID, "one of" },
	{ "kill_timeout = '301s'", ERR_INVALID, "at most 300s" },
	{ "http_service = 1", ERR_INVALID, "must be a table" },
	{ "app = 'a", ERR_TOML, "line 1" },
};

static void what_is_refused(void **s)
{
	for (size_t i = 0; i < countof(refused); i++) {
		cleanup_fly_config struct fly_config c = { 0 };
		struct err e;
		if (parse(refused[i].toml, &c, &e) == 0)
			fail_msg("accepted:\n%s", refused[i].toml);
		if (e.code != refused[i].code || !strstr(e.text, refused[i].says))
			fail_msg("%s\nexpected `%s`\nseen     `%s` [%s]", refused[i].toml,
			    refused[i].says, e.text, err_code_name(e.code));
	}
}

static void every_key_of_the_reference_is_known(void **s)
{
	static const char *const keys[] = { "app", "primary_region", "kill_signal", "kill_timeout",
		"swap_size_mb", "console_command", "host_dedication_id", "machine_config",
		"container", "experimental", "build", "deploy", "env", "processes", "http_service",
		"services", "checks", "mounts", "mount", "vm", "compute", "computes", "restart",
		"files", "metrics", "statics", "machine_checks" };
	for (size_t i = 0; i < countof(keys); i++) {
		char text[80];
		snprintf(text, sizeof(text), "%s = 1.5", keys[i]);
		cleanup_fly_config struct fly_config c = { 0 };
		struct err e;
		assert_true(parse(text, &c, &e) < 0);
		if (e.code == ERR_UNKNOWN_KEY)
			fail_msg("%s is not known", keys[i]);
	}
}

static void units(void **s)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = { { "1m21s", 81000 }, { "500ms", 500 }, { "1.5h", 5400000 }, { "0", 0 },
		{ "1h1m1s1ms", 3661001 }, { "2500us", 2 }, { "0.25s", 250 } };
	static const char *const bad[] = { "", "5", "s", "1 s", "-1s", "1d", "1m 2s", "1..5s",
		"99999999999h", "1s2" };
	for (size_t i = 0; i < countof(good); i++) {
		int64_t ms = -1;
		assert_true(fly_duration_ms(good[i].text, &ms));
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < countof(bad); i++) {
		int64_t ms = -1;
		if (fly_duration_ms(bad[i], &ms))
			fail_msg("`%s` was taken for %lld ms", bad[i], (long long)ms);
	}
	int64_t mb = 0;
	assert_true(fly_memory_mb("2GB", &mb));
	assert_int_equal(mb, 2048);
	assert_false(fly_memory_mb("", &mb));
	assert_false(fly_memory_mb("2tb", &mb));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sent),
		cmocka_unit_test(the_deploy_body),
		cmocka_unit_test(adjusted_values_are_told),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(every_key_of_the_reference_is_known),
		cmocka_unit_test(units),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
