/* The address plan: what a machine's number on its host and its organisation's network give. Pure.
 *
 * Private IPv4: one range a host (172.19.0.0/16 unless configured), the same on every host; .1 is
 * the gateway on every tap. 6PN: fdaa : network(32) : host(32) : machine(32) : 16 bits, a /112 for
 * each machine, which itself is ::2. */
#pragma once
#include "base/err.h"
#include "base/util.h"
#include <netinet/in.h>

#define NET_PLAN_DEFAULT "172.19.0.0/16"
#define NET_GATEWAY6     "fe80::1"
#define NET_RESOLVER6    "fdaa::3" /* network 0, host 0, machine 0: no machine can have it */
#define NET_PREFIX6      "fdaa::/16"

enum { SIXPN_NETWORK_BITS = 48, SIXPN_MACHINE_BITS = 112 };

struct net_plan {
	uint32_t base; /* host byte order */
	unsigned bits;
};

struct machine_addresses {
	uint32_t ipv4; /* host byte order */
	struct in6_addr ipv6;
	uint8_t mac[6];
};

/* "172.19.0.0/16": a private range (RFC 1918) of /8 to /24, no host bits set. */
int net_plan_parse(struct net_plan *p, const char *cidr, struct err *e) must_check;
uint32_t net_plan_gateway(const struct net_plan *p);
uint32_t net_plan_machines(const struct net_plan *p); /* the highest machine number */

/* number: 1..net_plan_machines; network and host: not 0. */
int net_plan_machine(const struct net_plan *p, uint32_t network, uint32_t host, uint32_t number,
    struct machine_addresses *ret, struct err *e) must_check;

/* The organisation's network of a 6PN address; false if it is none of a machine's. */
bool sixpn_network(const struct in6_addr *a, uint32_t *ret);
struct in6_addr sixpn_prefix(uint32_t network); /* fdaa:<network>:: (a /48) */

void ipv4_format(char dst[INET_ADDRSTRLEN], uint32_t host_order);
void ipv6_format(char dst[INET6_ADDRSTRLEN], const struct in6_addr *a);
void mac_format(char dst[18], const uint8_t mac[6]);
