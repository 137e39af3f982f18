#include "../unit.h"
#include "base/str.h"
#include "proto/names_table.h"
#include <arpa/inet.h>

static struct name_record record(const char *app, uint32_t network, unsigned number)
{
	struct name_record r = {
		.network = network, .region = "home", .group = "web", .started = true
	};
	char ip6[64];
	str_copy(r.app, sizeof(r.app), app);
	snprintf(r.machine, sizeof(r.machine), "%014x", number);
	snprintf(ip6, sizeof(ip6), "fdaa:0:%x:0:1:0:%x:2", network, number);
	inet_pton(AF_INET6, ip6, &r.ip6);
	return r;
}

static void what_is_written_is_read(void **s)
{
	struct name_record in[] = { record("zeta", 7, 1), record("alpha", 7, 3),
		record("alpha", 7, 2), record("alpha", 9, 4) };
	in[1].started = false;
	in[2].group[0] = 0;
	char *text = names_table_format(in, countof(in));
	struct names_table t;
	struct err e;
	assert_non_null(text);
	assert_ok(names_table_parse(&t, text, strlen(text), &e), e);
	free(text);
	assert_int_equal(t.count, 4);
	size_t n;
	const struct name_record *r = names_table_app(&t, 7, "alpha", &n);
	assert_int_equal(n, 2);
	assert_string_equal(r[0].machine, in[2].machine);
	assert_memory_equal(&r[0].ip6, &in[2].ip6, sizeof(r[0].ip6));
	assert_string_equal(r[0].group, "");
	assert_false(r[1].started);
	assert_null(names_table_app(&t, 7, "beta", &n));
	assert_null(names_table_app(&t, 8, "alpha", &n));
	assert_non_null(names_table_network(&t, 7, &n));
	assert_int_equal(n, 3);
	assert_non_null(names_table_network(&t, 9, &n));
	assert_int_equal(n, 1);
	names_table_done(&t);
	struct name_record odd[] = { record("ok", 7, 1), record("ok", 7, 2), record("Not ok", 7, 3),
		record("ok", 7, 4) };
	str_copy(odd[0].group, sizeof(odd[0].group), "Web");
	str_copy(odd[1].group, sizeof(odd[1].group), "a b");
	odd[3].network = 8;
	text = names_table_format(odd, countof(odd));
	assert_ok(names_table_parse(&t, text, strlen(text), &e), e);
	free(text);
	assert_int_equal(t.count, 2);
	assert_string_equal(t.record[0].group, "web");
	assert_string_equal(t.record[1].group, "");
	names_table_done(&t);
	text = names_table_format(NULL, 0);
	assert_ok(names_table_parse(&t, text, strlen(text), &e), e);
	assert_null(names_table_network(&t, 7, &n));
	free(text);
	names_table_done(&t);
}

#define ONE(app, network, machine, ip6, state)                                                     \
	"{\"v\":1,\"records\":[{\"app\":" app ",\"network\":" network ",\"machine\":\"" machine    \
	"\",\"ip6\":\"" ip6 "\",\"region\":\"r\",\"group\":\"g\",\"state\":" state "}]}"
#define ID "00000000000001"

static void a_bad_table_is_refused_whole(void **s)
{
	static const char *const bad[] = { "", "[]", "{\"v\":2}", "{\"v\":1,\"records\":{}}",
		"{\"v\":1,\"records\":[1]}", ONE("\"a.b\"", "7", ID, "fdaa:0:7::2", "\"started\""),
		ONE("\"\"", "7", ID, "fdaa:0:7::2", "\"started\""),
		ONE("\"A\"", "7", ID, "fdaa:0:7::2", "\"started\""),
		ONE("\"a\"", "0", ID, "fdaa::2", "\"started\""),
		ONE("\"a\"", "7", ID, "fdaa:0:8::2", "\"started\""),
		ONE("\"a\"", "7", ID, "fd00:0:7::2", "\"started\""),
		ONE("\"a\"", "7", "xyz", "fdaa:0:7::2", "\"started\""),
		ONE("\"a\"", "7", ID, "1.2.3.4", "\"started\""),
		ONE("\"a\"", "4294967296", ID, "fdaa:0:7::2", "\"started\""),
		ONE("\"a\"", "7", ID, "fdaa:0:7::2", "1") };
	for (size_t i = 0; i < countof(bad); i++) {
		struct names_table t = { .count = 99 };
		struct err e;
		if (names_table_parse(&t, bad[i], strlen(bad[i]), &e) >= 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(t.count, 99);
	}
	struct names_table t;
	struct err e;
	static const char good[] = ONE("\"a\"", "7", ID, "fdaa:0:7::2", "\"stopping\"");
	assert_ok(names_table_parse(&t, good, strlen(good), &e), e);
	assert_false(t.record[0].started);
	names_table_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_bad_table_is_refused_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
