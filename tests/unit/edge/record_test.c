#include "../unit.h"
#include "base/str.h"
#include "edge/record.h"

#define IDS                                                                                        \
	"'v':1,'id':'00000000000001','app':'aaaaaaaaaaaaaaaa','app_name':'web','group':'app','"    \
	"name':'m','region':'local',"                                                              \
	"'instance_id':'01J00000000000000000000000','version':1,'release':1,'number':1,'network':" \
	"1,'restart_seq':0,"                                                                       \
	"'start_seq':0,'metadata':{},'skip_launch':false,'created_at':'2026-01-01T00:00:00."       \
	"000000Z',"                                                                                \
	"'updated_at':'2026-01-01T00:00:00.000000Z',"
#define OBSERVED                                                                                   \
	"{'v':1,'id':'00000000000001','state':'started','instance_id':'"                           \
	"01J00000000000000000000000','generation':4,"                                              \
	"'ipv4':'172.19.0.5'}"
#define PORTS                                                                                      \
	"'ports':[{'port':80,'handlers':['http'],'force_https':true},{'port':443,'handlers':['"    \
	"tls','http']}]"

static int parse(const char *want, const char *cordoned, const char *config, const char *observed,
    struct record_machine *m, struct err *e)
{
	char text[4096];
	snprintf(text, sizeof(text), "{" IDS "'want':'%s','cordoned':%s,'config':{%s}}", want,
	    cordoned, config);
	json_t *d, *o = NULL;
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	d = json_loads(text, 0, NULL);
	assert_non_null(d);
	if (observed) {
		char other[512];
		snprintf(other, sizeof(other), "%s", observed);
		for (char *p = other; *p; p++)
			if (*p == '\'')
				*p = '"';
		o = json_loads(other, 0, NULL);
		assert_non_null(o);
	}
	int r = record_parse(d, o, m, e);
	json_decref(d);
	json_decref(o);
	return r;
}

static struct record_machine m;

static void test_service(void **state)
{
	struct err e;
	assert_ok(parse("started", "false",
		      "'services':[{'protocol':'tcp','internal_port':8080," PORTS
		      ",'concurrency':{'type':'requests','soft_limit':20,'hard_limit':25}}]",
		      OBSERVED, &m, &e),
	    e);
	assert_true(m.route.wanted && m.route.started);
	assert_int_equal(m.route.ipv4[3], 5);
	assert_int_equal(m.generation, 4);
	assert_int_equal(m.route.nservices, 1);
	const struct routes_service *s = &m.route.service[0];
	assert_true(s->internal_port == 8080 && s->tls && s->plain && s->force_https &&
		    s->hard == 25 && !s->by_connections);
	assert_int_equal(m.nchecks, 0);
}

static void test_not_wanted(void **state)
{
	struct err e;
	const char *config = "'services':[{'internal_port':8080," PORTS "}]";
	assert_ok(parse("stopped", "false", config, OBSERVED, &m, &e), e);
	assert_false(m.route.wanted);
	assert_ok(parse("started", "true", config, OBSERVED, &m, &e), e);
	assert_false(m.route.wanted);
	assert_ok(parse("started", "false", config, NULL, &m, &e), e);
	assert_true(m.route.wanted && !m.route.started);
	/* another version runs than is wanted */
	assert_ok(parse("started", "false", config,
		      "{'v':1,'id':'00000000000001','state':'started','instance_id':'"
		      "01J00000000000000000000001','ipv4':'10.0.0.1'}",
		      &m, &e),
	    e);
	assert_false(m.route.wanted);
}

static void test_checks(void **state)
{
	struct err e;
	assert_ok(parse("started", "false",
		      "'services':[{'internal_port':8080," PORTS
		      ",'checks':[{'type':'http','method':'HEAD','path':'/"
		      "up','interval':'10s','timeout':2000000000,'grace_period':'3s',"
		      "'headers':[{'name':'X-A','values':['b']}]},{'type':'tcp'}]}],"
		      "'checks':{'db':{'type':'tcp','port':5432,'interval':'500ms'}}",
		      OBSERVED, &m, &e),
	    e);
	assert_int_equal(m.nchecks, 3);
	assert_string_equal(m.check[0].name, "servicecheck-00-http-8080");
	assert_true(m.check[0].http && m.check[0].service == 0 &&
		    m.check[0].times.interval_ms == 10000 && m.check[0].times.timeout_ms == 2000 &&
		    m.check[0].times.grace_ms == 3000);
	assert_non_null(memmem(
	    m.check[0].request, m.check[0].request_len, "HEAD /up HTTP/1.1\r\nX-A: b\r\n", 27));
	assert_string_equal(m.check[1].name, "servicecheck-01-tcp-8080");
	assert_string_equal(m.check[2].name, "db");
	assert_true(m.check[2].service == -1 && m.check[2].port == 5432 &&
		    m.check[2].times.interval_ms == CHECK_MIN_MS);
}

static void test_refuses(void **state)
{
	static const char *const bad[] = {
		"'services':[{'internal_port':0}]", "'services':[{'internal_port':70000}]",
		"'services':[{}]", "'services':{}", "'services':[{'internal_port':80,'ports':5}]",
		"'services':[{'internal_port':80,'checks':[{'type':'icmp'}]}]",
		"'services':[{'internal_port':80,'checks':[{'type':'http','path':'no-slash'}]}]",
		"'services':[{'internal_port':80,'checks':[{'type':'http','path':'/a b'}]}]",
		"'services':[{'internal_port':80,'checks':[{'type':'http','path':'/a\\r\\nX: "
		"y'}]}]",
		"'services':[{'internal_port':80,'checks':[{'type':'http','method':'get'}]}]",
		"'services':[{'internal_port':80,'checks':[{'type':'http','headers':[{'name':'A "
		"B','values':['c']}]}]}]",
		"'services':[{'internal_port':80,'checks':[{'type':'http','headers':[{'name':'A','"
		"values':['c\\nd']}]}]}]",
		"'services':[{'internal_port':80,'checks':[{'type':'http','headers':[{'name':'"
		"Content-Length','values':['5']},"
		"{'name':'Transfer-Encoding','values':['chunked']}]}]}]",
		"'checks':{'x':{'type':'tcp'}}", /* no port */
	};
	for (size_t i = 0; i < countof(bad); i++) {
		struct err e = { 0 };
		if (parse("started", "false", bad[i], OBSERVED, &m, &e) >= 0)
			fail_msg("accepted: %s", bad[i]);
		assert_true(e.text[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_service),
		cmocka_unit_test(test_not_wanted),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
