#include "proto/platform_file.h"
#include "base/file.h"
#include "base/str.h"
#include "proto/conf.h"
#include <arpa/inet.h>

static const struct platform_address default_https[] = { { "0.0.0.0", 443 }, { "::", 443 } };
static const struct platform_address default_http[] = { { "0.0.0.0", 80 }, { "::", 80 } };

void platform_defaults(struct platform *p)
{
	*p = (struct platform){
		.host = { .region = "local", .id = 1 },
		.edge = { .base_domain = "ward.localhost",
		    .nhttps = countof(default_https),
		    .nhttp = countof(default_http) },
		.network = { .private_ipv4 = "172.19.0.0/16", .uplink = true },
	};
	memcpy(p->edge.https, default_https, sizeof(default_https));
	memcpy(p->edge.http, default_http, sizeof(default_http));
	char name[sizeof(p->host.name)] = "";
	gethostname(name, sizeof(name) - 1);
	name[strcspn(name, ".")] = 0;
	str_copy(p->host.name, sizeof(p->host.name), str_is_name(name, 63) ? name : "ward");
}

/* A string that must satisfy ok; copied into dst. */
static int text(const struct conf *c, const char *key, char *dst, size_t size,
    bool (*ok)(const char *), const char *what, struct err *e)
{
	const char *s = NULL;
	int r = conf_str(c, key, &s, e);
	if (r < 0 || !s)
		return r;
	if (!ok(s) || !str_copy(dst, size, s))
		return conf_fail(c, key, e, ERR_INVALID, "must be %s", what);
	return 0;
}

static bool is_name(const char *s)
{
	return str_is_name(s, 63);
}

static bool is_region(const char *s)
{
	return str_is_name(s, 31);
}

static bool is_domain(const char *s)
{
	if (strlen(s) > 253)
		return false;
	for (;;) {
		size_t n = strcspn(s, ".");
		char label[64];
		if (n >= sizeof(label))
			return false;
		memcpy(label, s, n);
		label[n] = 0;
		if (!str_is_name(label, 63))
			return false;
		if (!s[n])
			return true;
		s += n + 1;
	}
}

static bool is_ip(const char *s)
{
	unsigned char a[16];
	return inet_pton(AF_INET, s, a) == 1 || inet_pton(AF_INET6, s, a) == 1;
}

/* The plan gives a host 65,536 machine addresses, so the prefix is a /16 of the private ranges. */
static bool is_private_16(const char *s)
{
	char ip[16];
	const char *slash = strchr(s, '/');
	unsigned char a[4];
	if (!slash || !streq(slash, "/16") || (size_t)(slash - s) >= sizeof(ip))
		return false;
	memcpy(ip, s, (size_t)(slash - s));
	ip[slash - s] = 0;
	if (inet_pton(AF_INET, ip, a) != 1 || a[2] || a[3])
		return false;
	return a[0] == 10 || (a[0] == 172 && a[1] >= 16 && a[1] < 32) ||
	       (a[0] == 192 && a[1] == 168);
}

/* "127.0.0.1:8443", "[::1]:8443" */
static bool parse_address(const char *s, struct platform_address *ret)
{
	struct platform_address a = { 0 };
	bool six = *s == '[';
	const char *end = six ? strchr(s, ']') : strchr(s, ':');
	if (!end || (six && end[1] != ':'))
		return false;
	const char *start = s + six;
	size_t n = (size_t)(end - start);
	uint64_t port;
	unsigned char bin[16];
	if (n >= sizeof(a.ip) || !str_u64(end + 1 + six, 65535, &port) || port == 0)
		return false;
	memcpy(a.ip, start, n);
	if (inet_pton(six ? AF_INET6 : AF_INET, a.ip, bin) != 1)
		return false;
	a.port = (uint16_t)port;
	*ret = a;
	return true;
}

static int addresses(const struct conf *c, const char *key, struct platform_address *ret,
    size_t *ret_n, struct err *e)
{
	const json_t *list = NULL;
	int r = conf_strings(c, key, PLATFORM_LISTEN_MAX, &list, e);
	if (r < 0 || !list)
		return r;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *s = json_string_value(json_array_get(list, i));
		if (!parse_address(s, &ret[i]))
			return conf_fail(c, key, e, ERR_INVALID,
			    "has \"%.60s\"; an address looks like \"127.0.0.1:8443\" or "
			    "\"[::1]:8443\"",
			    s);
		for (size_t k = 0; k < i; k++)
			if (ret[k].port == ret[i].port && streq(ret[k].ip, ret[i].ip))
				return conf_fail(c, key, e, ERR_INVALID, "has \"%.60s\" twice", s);
	}
	*ret_n = json_array_size(list);
	return 0;
}

static int strings(const struct conf *c, const char *key, size_t max, char *ret, size_t size,
    bool (*ok)(const char *), const char *what, size_t *ret_n, struct err *e)
{
	const json_t *list = NULL;
	int r = conf_strings(c, key, max, &list, e);
	if (r < 0 || !list)
		return r;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *s = json_string_value(json_array_get(list, i));
		if (!ok(s) || !str_copy(ret + i * size, size, s))
			return conf_fail(
			    c, key, e, ERR_INVALID, "has \"%.60s\", which is not %s", s, what);
	}
	*ret_n = json_array_size(list);
	return 0;
}

static bool is_registry(const char *s)
{
	char host[128];
	size_t n = strcspn(s, ":");
	uint64_t port;
	if (n >= sizeof(host) || (s[n] && (!str_u64(s + n + 1, 65535, &port) || !port)))
		return false;
	memcpy(host, s, n);
	host[n] = 0;
	return is_domain(host) || is_ip(host);
}

static int number(
    const struct conf *c, const char *key, int64_t min, int64_t max, uint32_t *ret, struct err *e)
{
	int64_t n = *ret;
	int r = conf_int(c, key, min, max, &n, e);
	if (r == 0)
		*ret = (uint32_t)n;
	return r;
}

/* Each section is one function: known keys first, then each value. */
static int read_host(const struct conf *c, struct platform *p, struct err *e)
{
	int r = conf_known(c, "name region id", e);
	if (r == 0)
		r = text(c, "name", p->host.name, sizeof(p->host.name), is_name,
		    "a name of letters a-z, digits and '-'", e);
	if (r == 0)
		r = text(c, "region", p->host.region, sizeof(p->host.region), is_region,
		    "a short name of letters a-z, digits and '-'", e);
	return r == 0 ? number(c, "id", 1, 65535, &p->host.id, e) : r;
}

static int read_edge(const struct conf *c, struct platform *p, struct err *e)
{
	int r = conf_known(c, "https http base_domain", e);
	if (r == 0)
		r = addresses(c, "https", p->edge.https, &p->edge.nhttps, e);
	if (r == 0 && p->edge.nhttps == 0)
		r = conf_fail(c, "https", e, ERR_INVALID, "must name at least one address");
	if (r == 0)
		r = addresses(c, "http", p->edge.http, &p->edge.nhttp, e);
	if (r == 0)
		r = text(c, "base_domain", p->edge.base_domain, sizeof(p->edge.base_domain),
		    is_domain, "a domain name in lower case", e);
	return r;
}

static int read_machines(const struct conf *c, struct platform *p, struct err *e)
{
	unsigned engine = p->machines.engine;
	int r = conf_known(c, "engine memory_mb cpus", e);
	if (r == 0)
		r = conf_word(c, "engine", "auto kvm emulated", &engine, e);
	if (r == 0)
		r = number(c, "memory_mb", 64, 16 << 20, &p->machines.memory_mb, e);
	if (r == 0)
		r = number(c, "cpus", 1, 4096, &p->machines.cpus, e);
	p->machines.engine = (enum platform_engine)engine;
	return r;
}

static int read_network(const struct conf *c, struct platform *p, struct err *e)
{
	int r = conf_known(c, "private_ipv4 uplink dns_upstream", e);
	if (r == 0)
		r = text(c, "private_ipv4", p->network.private_ipv4,
		    sizeof(p->network.private_ipv4), is_private_16,
		    "a private IPv4 network of 16 bits, such as \"172.19.0.0/16\"", e);
	if (r == 0)
		r = conf_bool(c, "uplink", &p->network.uplink, e);
	if (r == 0)
		r = strings(c, "dns_upstream", PLATFORM_DNS_MAX, p->network.dns_upstream[0],
		    sizeof(p->network.dns_upstream[0]), is_ip, "an IP address",
		    &p->network.ndns_upstream, e);
	return r;
}

static int read_vault(const struct conf *c, struct platform *p, struct err *e)
{
	int r = conf_known(c, "key_file", e);
	return r == 0 ? conf_bool(c, "key_file", &p->vault.key_file, e) : r;
}

static int read_registry(const struct conf *c, struct platform *p, struct err *e)
{
	int r = conf_known(c, "insecure", e);
	return r == 0
		   ? strings(c, "insecure", PLATFORM_REGISTRY_MAX, p->registry.insecure[0],
			 sizeof(p->registry.insecure[0]), is_registry,
			 "a registry's host name, with :port if needed", &p->registry.ninsecure, e)
		   : r;
}

static const struct {
	const char *name;
	int (*read)(const struct conf *c, struct platform *p, struct err *e);
} sections[] = {
	{ "host", read_host },
	{ "edge", read_edge },
	{ "machines", read_machines },
	{ "network", read_network },
	{ "vault", read_vault },
	{ "registry", read_registry },
};

int platform_parse(const char *s, size_t len, struct platform *ret, struct err *e)
{
	cleanup_toml struct toml doc = { 0 };
	int r = toml_parse(s, len, &doc, e);
	if (r < 0)
		return r;
	struct conf root;
	conf_root(&root, &doc);
	r = conf_known(&root, "host edge machines network vault registry", e);
	struct platform p;
	platform_defaults(&p);
	for (size_t i = 0; r == 0 && i < countof(sections); i++) {
		struct conf section;
		r = conf_table(&root, sections[i].name, &section, e);
		if (r == 0)
			r = sections[i].read(&section, &p, e);
	}
	if (r == 0)
		*ret = p;
	return r;
}

int platform_read(int dirfd, const char *name, struct platform *ret, struct err *e)
{
	cleanup_free char *s = NULL;
	size_t len;
	struct err local;
	int r = file_read(dirfd, name, TOML_BYTES_MAX, &s, &len, e ? e : &local);
	if (r == -ENOENT) {
		platform_defaults(ret);
		return 0;
	}
	if (r == 0)
		r = platform_parse(s, len, ret, e);
	return r < 0 ? err_prefix(e, r, "%s", name) : 0;
}
