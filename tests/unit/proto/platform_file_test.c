#include "../unit.h"
#include "base/file.h"
#include "base/str.h"
#include "proto/platform_file.h"
#include <fcntl.h>

static int parse(const char *text, struct platform *p, struct err *e)
{
	*e = (struct err){ 0 };
	return platform_parse(text, strlen(text), p, e);
}

static void empty_is_the_defaults(void **s)
{
	struct platform p;
	struct err e;
	assert_ok(parse("", &p, &e), e);
	assert_string_equal(p.host.region, "local");
	assert_int_equal(p.host.id, 1);
	assert_int_equal(p.edge.nhttps, 2);
	assert_string_equal(p.edge.https[1].ip, "::");
	assert_int_equal(p.edge.https[1].port, 443);
	assert_string_equal(p.edge.base_domain, "ward.localhost");
	assert_int_equal(p.machines.engine, PLATFORM_ENGINE_AUTO);
	assert_true(p.network.uplink);
	assert_false(p.vault.key_file);
	assert_true(*p.host.name);
}

static void every_key_is_read(void **s)
{
	struct platform p;
	struct err e;
	assert_ok(
	    parse(
		"[host]\nname = 'host-2'\nregion = \"par\"\nid = 7\n"
		"[edge]\nhttps = [\"127.0.0.1:8443\", \"[::1]:8443\"]\nhttp = []\nbase_domain = "
		"'apps.example.org'\n"
		"[machines]\nengine = 'emulated'\nmemory_mb = 4096\ncpus = 3\n"
		"[network]\nprivate_ipv4 = '10.9.0.0/16'\nuplink = false\ndns_upstream = "
		"['9.9.9.9', '2620:fe::fe']\n"
		"[vault]\nkey_file = true\n[registry]\ninsecure = ['localhost:5000', '10.0.0.1']\n",
		&p, &e),
	    e);
	assert_string_equal(p.host.name, "host-2");
	assert_string_equal(p.host.region, "par");
	assert_int_equal(p.host.id, 7);
	assert_int_equal(p.edge.nhttps, 2);
	assert_string_equal(p.edge.https[0].ip, "127.0.0.1");
	assert_string_equal(p.edge.https[1].ip, "::1");
	assert_int_equal(p.edge.https[1].port, 8443);
	assert_int_equal(p.edge.nhttp, 0);
	assert_string_equal(p.edge.base_domain, "apps.example.org");
	assert_int_equal(p.machines.engine, PLATFORM_ENGINE_EMULATED);
	assert_int_equal(p.machines.memory_mb, 4096);
	assert_int_equal(p.machines.cpus, 3);
	assert_string_equal(p.network.private_ipv4, "10.9.0.0/16");
	assert_false(p.network.uplink);
	assert_int_equal(p.network.ndns_upstream, 2);
	assert_string_equal(p.network.dns_upstream[1], "2620:fe::fe");
	assert_true(p.vault.key_file);
	assert_int_equal(p.registry.ninsecure, 2);
	assert_string_equal(p.registry.insecure[0], "localhost:5000");
}

static void faults_name_line_and_remedy(void **s)
{
	static const struct {
		const char *text;
		enum err_code code;
		const char *says;
	} bad[] = {
		{ "[machines]\nengin = 'kvm'", ERR_UNKNOWN_KEY,
		    "line 2: machines.engin is not a known key; did you mean `engine`?" },
		{ "[machine]", ERR_UNKNOWN_KEY,
		    "line 1: machine is not a known key; did you mean `machines`?" },
		{ "[zzzzzz]", ERR_UNKNOWN_KEY, "line 1: zzzzzz is not a known key" },
		{ "host = 1", ERR_INVALID, "line 1: host must be a table" },
		{ "[machines]\n\nengine = 'tcg'", ERR_INVALID,
		    "line 3: machines.engine is \"tcg\"; it must be one of: auto kvm emulated" },
		{ "[machines]\nmemory_mb = '4'", ERR_INVALID,
		    "line 2: machines.memory_mb must be a whole number" },
		{ "[machines]\ncpus = 0", ERR_INVALID,
		    "line 2: machines.cpus must be between 1 and 4096" },
		{ "[host]\nid = 65536", ERR_INVALID,
		    "line 2: host.id must be between 1 and 65535" },
		{ "[host]\nname = 'A b'", ERR_INVALID, "line 2: host.name must be a name" },
		{ "[edge]\nhttps = []", ERR_INVALID, "line 2: edge.https must name at least one" },
		{ "[edge]\nhttps = ['8443']", ERR_INVALID,
		    "line 2: edge.https has \"8443\"; an address looks like" },
		{ "[edge]\nhttps = ['127.0.0.1:0']", ERR_INVALID, "line 2" },
		{ "[edge]\nhttps = ['::1:8443']", ERR_INVALID, "line 2" },
		{ "[edge]\nhttp = ['127.0.0.1:80', '127.0.0.1:80']", ERR_INVALID, "twice" },
		{ "[edge]\nhttp = '127.0.0.1:80'", ERR_INVALID, "an array of strings" },
		{ "[edge]\nbase_domain = 'a..b'", ERR_INVALID, "a domain name" },
		{ "[network]\nprivate_ipv4 = '8.8.0.0/16'", ERR_INVALID, "private IPv4" },
		{ "[network]\nprivate_ipv4 = '10.0.0.0/8'", ERR_INVALID, "private IPv4" },
		{ "[network]\ndns_upstream = ['dns.example']", ERR_INVALID, "an IP address" },
		{ "[network]\nuplink = 'yes'", ERR_INVALID, "true or false" },
		{ "[registry]\ninsecure = ['http://x']", ERR_INVALID, "host name" },
		{ "[vault", ERR_TOML, "line 1: " },
	};
	for (size_t i = 0; i < countof(bad); i++) {
		struct platform p;
		struct err e;
		if (parse(bad[i].text, &p, &e) == 0)
			fail_msg("accepted:\n%s", bad[i].text);
		if (e.code != bad[i].code || !strstr(e.text, bad[i].says))
			fail_msg("%s\nexpected `%s`\nseen     `%s` [%s]", bad[i].text, bad[i].says,
			    e.text, err_code_name(e.code));
	}
}

static void read_from_a_folder(void **s)
{
	char dir[] = "/tmp/ward-platform-XXXXXX";
	assert_non_null(mkdtemp(dir));
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	struct platform p;
	struct err e = { 0 };
	assert_ok(platform_read(fd, "ward.toml", &p, &e), e);
	assert_string_equal(p.edge.base_domain, "ward.localhost");
	assert_ok(file_write(fd, "ward.toml", "[host]\nid = 3\n", 14, 0644, &e), e);
	assert_ok(platform_read(fd, "ward.toml", &p, &e), e);
	assert_int_equal(p.host.id, 3);
	assert_ok(file_write(fd, "ward.toml", "[host]\nid = x\n", 14, 0644, &e), e);
	assert_int_equal(platform_read(fd, "ward.toml", &p, &e), -EINVAL);
	assert_true(str_starts(e.text, "ward.toml: line 2: "));
	assert_int_equal(p.host.id, 3);
	close(fd);
	assert_ok(dir_remove(AT_FDCWD, dir, &e), e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_is_the_defaults),
		cmocka_unit_test(every_key_is_read),
		cmocka_unit_test(faults_name_line_and_remedy),
		cmocka_unit_test(read_from_a_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
