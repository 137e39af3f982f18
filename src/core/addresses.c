#include "core/addresses.h"
#include "base/str.h"
#include <arpa/inet.h>

static uint32_t mask(unsigned bits)
{
	return bits ? UINT32_MAX << (32 - bits) : 0;
}

static bool is_private(uint32_t a, unsigned bits)
{
	static const struct {
		uint32_t base;
		unsigned bits;
	} ranges[] = { { 0x0a000000, 8 }, { 0xac100000, 12 }, { 0xc0a80000, 16 } };
	for (size_t i = 0; i < countof(ranges); i++)
		if (bits >= ranges[i].bits && (a & mask(ranges[i].bits)) == ranges[i].base)
			return true;
	return false;
}

int net_plan_parse(struct net_plan *p, const char *cidr, struct err *e)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr a;
	uint64_t bits;
	const char *slash = strchr(cidr, '/');
	size_t len = slash ? (size_t)(slash - cidr) : 0;
	if (!slash || len >= sizeof(text) || !str_u64(slash + 1, 32, &bits))
		return err_set(e, ERR_INVALID,
		    "the private IPv4 range must look like " NET_PLAN_DEFAULT ", not \"%s\"", cidr);
	memcpy(text, cidr, len);
	text[len] = 0;
	if (inet_pton(AF_INET, text, &a) != 1)
		return err_set(e, ERR_INVALID, "\"%s\" is not an IPv4 address", text);
	uint32_t base = ntohl(a.s_addr);
	if (bits < 8 || bits > 24 || (base & ~mask((unsigned)bits)))
		return err_set(e, ERR_INVALID,
		    "the private IPv4 range %s must be a /8 to /24 without bits after it", cidr);
	if (!is_private(base, (unsigned)bits))
		return err_set(e, ERR_INVALID,
		    "%s is not inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", cidr);
	*p = (struct net_plan){ base, (unsigned)bits };
	return 0;
}

uint32_t net_plan_gateway(const struct net_plan *p)
{
	return p->base + 1;
}

uint32_t net_plan_machines(const struct net_plan *p)
{
	/* without the range's own address, the gateway and the broadcast address */
	return ~mask(p->bits) - 2;
}

static void put32(uint8_t *to, uint32_t v)
{
	v = htonl(v);
	memcpy(to, &v, sizeof(v));
}

int net_plan_machine(const struct net_plan *p, uint32_t network, uint32_t host, uint32_t number,
    struct machine_addresses *ret, struct err *e)
{
	if (!network || !host)
		return err_set(e, ERR_INVALID, "network and host ids begin at 1");
	if (!number || number > net_plan_machines(p))
		return err_set(e, ERR_INVALID, "machine number %u is not between 1 and %u", number,
		    net_plan_machines(p));
	struct machine_addresses m = { .ipv4 = net_plan_gateway(p) + number,
		.mac = { 0x02, 0x57 } }; /* locally administered, unicast */
	m.ipv6 = sixpn_prefix(network);
	put32(&m.ipv6.s6_addr[6], host);
	put32(&m.ipv6.s6_addr[10], number);
	m.ipv6.s6_addr[15] = 2;
	put32(&m.mac[2], number);
	*ret = m;
	return 0;
}

struct in6_addr sixpn_prefix(uint32_t network)
{
	struct in6_addr a = { .s6_addr = { 0xfd, 0xaa } };
	put32(&a.s6_addr[2], network);
	return a;
}

bool sixpn_network(const struct in6_addr *a, uint32_t *ret)
{
	uint32_t network;
	memcpy(&network, &a->s6_addr[2], sizeof(network));
	if (a->s6_addr[0] != 0xfd || a->s6_addr[1] != 0xaa || !network)
		return false;
	*ret = ntohl(network);
	return true;
}

void ipv4_format(char dst[INET_ADDRSTRLEN], uint32_t host_order)
{
	snprintf(dst, INET_ADDRSTRLEN, "%u.%u.%u.%u", host_order >> 24, host_order >> 16 & 255,
	    host_order >> 8 & 255, host_order & 255);
}

void ipv6_format(char dst[INET6_ADDRSTRLEN], const struct in6_addr *a)
{
	if (!inet_ntop(AF_INET6, a, dst, INET6_ADDRSTRLEN))
		dst[0] = 0; /* cannot happen: the size suffices */
}

void mac_format(char dst[18], const uint8_t mac[6])
{
	snprintf(dst, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
	    mac[5]);
}
