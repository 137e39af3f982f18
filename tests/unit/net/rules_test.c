#include "../unit.h"
#include "base/str.h"
#include "net/rules.h"
#include "net/uplink.h"

static struct rules rules(void)
{
	struct rules r = { .instance = "ward", .edge = 901, .dns = 902 };
	struct err e;
	assert_ok(net_plan_parse(&r.plan, NET_PLAN_DEFAULT, &e), e);
	return r;
}

static void a_tap_is_read_back_from_its_link(void **s)
{
	struct rules r = rules();
	struct rtnl_link l = { .name = "t0123456789abcd", .alias = "7 3 300" };
	struct tap t;
	assert_true(tap_from_link(&t, &r.plan, &l));
	assert_string_equal(t.machine, "0123456789abcd");
	assert_int_equal(t.network, 7);
	assert_int_equal(t.host, 3);
	assert_int_equal(t.number, 300);
	assert_int_equal(t.addr.ipv4, 0xac130001 + 300);
	static const char *const aliases[] = { "", "7 3", "7 3 300 ", "7 3 0", "0 3 1", "7 3 70000",
		"7 3 99999999999", "-7 3 1", "7  3 1" };
	for (size_t i = 0; i < countof(aliases); i++) {
		str_copy(l.alias, sizeof(l.alias), aliases[i]);
		if (tap_from_link(&t, &r.plan, &l))
			fail_msg("accepted: \"%s\"", aliases[i]);
	}
	str_copy(l.alias, sizeof(l.alias), "7 3 300");
	str_copy(l.name, sizeof(l.name), "x0123456789abcd");
	assert_false(tap_from_link(&t, &r.plan, &l));
	str_copy(l.name, sizeof(l.name), "uplink");
	assert_false(tap_from_link(&t, &r.plan, &l));
}

static void rules_name_each_taps_own_addresses(void **s)
{
	struct rules r = rules();
	struct tap t[2] = { { .machine = "00000000000001", .network = 7, .host = 3, .number = 1 },
		{ .machine = "00000000000002", .network = 8, .host = 3, .number = 2 } };
	struct err e;
	for (size_t i = 0; i < 2; i++)
		assert_ok(
		    net_plan_machine(&r.plan, t[i].network, t[i].host, t[i].number, &t[i].addr, &e),
		    e);
	struct buf b;
	buf_init(&b, 1 << 20);
	assert_int_equal(rules_format_taps(&b, &r, t, 2), 0);
	assert_string_equal(b.data,
	    "flush set inet net-ward own4\nflush set inet net-ward own6\nflush set inet net-ward "
	    "peers6\n"
	    "add element inet net-ward own4 {\n\"t00000000000001\" . "
	    "172.19.0.2,\n\"t00000000000002\" . 172.19.0.3\n}\n"
	    "add element inet net-ward own6 {\n\"t00000000000001\" . fdaa:0:7:0:3:0:1:0/112,\n"
	    "\"t00000000000002\" . fdaa:0:8:0:3:0:2:0/112\n}\n"
	    "add element inet net-ward peers6 {\n\"t00000000000001\" . fdaa:0:7::/48,\n"
	    "\"t00000000000002\" . fdaa:0:8::/48\n}\n");
	buf_reset(&b);
	assert_int_equal(rules_format_change(&b, &r, &t[1], false), 0);
	assert_string_equal(b.data,
	    "delete element inet net-ward own4 {\n\"t00000000000002\" . 172.19.0.3\n}\n"
	    "delete element inet net-ward own6 {\n\"t00000000000002\" . fdaa:0:8:0:3:0:2:0/112\n}\n"
	    "delete element inet net-ward peers6 {\n\"t00000000000002\" . fdaa:0:8::/48\n}\n");
	buf_reset(&b);
	assert_int_equal(rules_format_taps(&b, &r, NULL, 0), 0);
	assert_null(strstr(b.data, "add"));
	buf_done(&b);
}

/* The base chains that see packets to, from and through the namespace drop what no rule names. */
static void the_default_is_to_drop(void **s)
{
	struct rules r = rules();
	struct buf b;
	buf_init(&b, 1 << 20);
	assert_int_equal(rules_format_table(&b, &r), 0);
	static const char *const hooks[] = { "hook input priority filter; policy drop;",
		"hook output priority filter; policy drop;",
		"hook forward priority filter; policy drop;", "meta skuid 901", "meta skuid 902",
		/* clouds' own services at addresses of their own */
		"168.63.129.16/32", "169.254.0.0/16", "100.64.0.0/10", "192.0.0.0/24", "fc00::/7" };
	for (size_t i = 0; i < countof(hooks); i++)
		if (!strstr(b.data, hooks[i]))
			fail_msg("missing: %s", hooks[i]);
	buf_done(&b);
}

static void the_uplinks_facts_survive_in_its_alias(void **s)
{
	struct uplink u = { .slot = 1023, .opened4 = true };
	char alias[64];
	unsigned slot;
	bool four, six;
	uplink_alias_format(alias, sizeof(alias), &u);
	assert_true(uplink_alias_parse(alias, &slot, &four, &six));
	assert_int_equal(slot, 1023);
	assert_true(four && !six);
	static const char *const bad[] = { "", "slot", "slot  opened ", "slot 1024 opened 4",
		"slot 1 open", "slot 00001 opened ", "x" };
	for (size_t i = 0; i < countof(bad); i++)
		assert_false(uplink_alias_parse(bad[i], &slot, &four, &six));
	assert_int_equal(uplink_ipv4(0, false), 0xa9fef001);
	assert_int_equal(uplink_ipv4(1023, true), 0xa9fefffe);
}

static void forwarding_that_was_off_stays_off_for_others(void **s)
{
	struct uplink u = {
		.instance = "ward", .link = "wu-ward", .slot = 5, .outs4 = 1, .outs6 = 1
	};
	str_copy(u.out4[0], IFNAMSIZ, "eth0");
	str_copy(u.out6[0], IFNAMSIZ, "eth1");
	struct buf b;
	buf_init(&b, 1 << 16);
	assert_int_equal(uplink_format_rules(&b, &u), 0);
	assert_null(strstr(b.data, "counter name not_ours drop"));
	buf_reset(&b);
	u.opened4 = u.opened6 = true;
	assert_int_equal(uplink_format_rules(&b, &u), 0);
	assert_non_null(strstr(b.data,
	    "meta nfproto ipv4 iifname \"eth0\" oifname != \"wu-*\" counter name not_ours drop"));
	assert_non_null(strstr(b.data,
	    "meta nfproto ipv6 iifname \"eth1\" oifname != \"wu-*\" counter name not_ours drop"));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tap_is_read_back_from_its_link),
		cmocka_unit_test(rules_name_each_taps_own_addresses),
		cmocka_unit_test(the_default_is_to_drop),
		cmocka_unit_test(the_uplinks_facts_survive_in_its_alias),
		cmocka_unit_test(forwarding_that_was_off_stays_off_for_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
