#include "../unit.h"
#include "base/str.h"
#include "core/addresses.h"
#include <arpa/inet.h>

static struct net_plan plan(const char *cidr)
{
	struct net_plan p;
	struct err e;
	assert_ok(net_plan_parse(&p, cidr, &e), e);
	return p;
}

static void a_machine_gets_its_addresses(void **s)
{
	struct net_plan p = plan(NET_PLAN_DEFAULT);
	struct machine_addresses m;
	struct err e;
	char v4[INET_ADDRSTRLEN], v6[INET6_ADDRSTRLEN], mac[18];
	assert_ok(net_plan_machine(&p, 0x00180a7b, 0x007df066, 257, &m, &e), e);
	ipv4_format(v4, m.ipv4);
	ipv6_format(v6, &m.ipv6);
	mac_format(mac, m.mac);
	assert_string_equal(v4, "172.19.1.2");
	assert_string_equal(v6, "fdaa:18:a7b:7d:f066:0:101:2");
	assert_string_equal(mac, "02:57:00:00:01:01");
	ipv4_format(v4, net_plan_gateway(&p));
	assert_string_equal(v4, "172.19.0.1");
}

static void numbers_stay_inside_the_range(void **s)
{
	struct net_plan p = plan("192.168.7.0/24");
	struct machine_addresses m;
	struct err e;
	assert_int_equal(net_plan_machines(&p), 253);
	assert_ok(net_plan_machine(&p, 1, 1, 253, &m, &e), e);
	char v4[INET_ADDRSTRLEN];
	ipv4_format(v4, m.ipv4);
	assert_string_equal(v4, "192.168.7.254");
	assert_int_equal(net_plan_machine(&p, 1, 1, 254, &m, &e), -EINVAL);
	assert_int_equal(net_plan_machine(&p, 1, 1, 0, &m, &e), -EINVAL);
	assert_int_equal(net_plan_machine(&p, 0, 1, 1, &m, &e), -EINVAL);
	assert_int_equal(net_plan_machine(&p, 1, 0, 1, &m, &e), -EINVAL);
}

static void bad_ranges_are_refused(void **s)
{
	static const char *const bad[] = { "", "172.19.0.0", "172.19.0.0/", "172.19.0.0/33",
		"172.19.0.1/16", "8.8.0.0/16", "10.0.0.0/7", "10.0.0.0/25", "172.0.0.0/8", "x/16",
		"172.19.0.0/16 ", "0172.19.0.0/16", "1234567890123456/16" };
	for (size_t i = 0; i < countof(bad); i++) {
		struct net_plan p;
		struct err e;
		if (net_plan_parse(&p, bad[i], &e) != -EINVAL)
			fail_msg("accepted: \"%s\"", bad[i]);
	}
}

static void an_address_tells_its_network(void **s)
{
	struct in6_addr a;
	uint32_t n = 7;
	inet_pton(AF_INET6, "fdaa:0:12:1::5:2", &a);
	assert_true(sixpn_network(&a, &n));
	assert_int_equal(n, 0x12);
	inet_pton(AF_INET6, NET_RESOLVER6, &a);
	assert_false(sixpn_network(&a, &n));
	inet_pton(AF_INET6, "fdab:0:12::1", &a);
	assert_false(sixpn_network(&a, &n));
	assert_int_equal(n, 0x12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_gets_its_addresses),
		cmocka_unit_test(numbers_stay_inside_the_range),
		cmocka_unit_test(bad_ranges_are_refused),
		cmocka_unit_test(an_address_tells_its_network),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
