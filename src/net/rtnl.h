/* What Ward asks of rtnetlink, one call each, synchronous. */
#pragma once
#include "base/err.h"
#include "base/util.h"
#include <net/if.h>
#include <netinet/in.h>

struct rtnl;

enum { RTNL_ALIAS_MAX = 128 };

struct rtnl_link {
	int index;
	char name[IFNAMSIZ];
	char alias[RTNL_ALIAS_MAX]; /* "" if none */
	uint32_t mtu;
	bool up;
};

int rtnl_open(struct rtnl **ret, struct err *e) must_check;
void rtnl_close(struct rtnl *r); /* NULL is fine */

/* Calls fn for each link. fn must not use r. */
int rtnl_links(struct rtnl *r, void (*fn)(void *arg, const struct rtnl_link *l), void *arg,
    struct err *e) must_check;

/* The index of a link, or -ENODEV (filled in *e too). */
int rtnl_link_index(struct rtnl *r, const char *name, int *ret, struct err *e) must_check;

/* alias NULL: unchanged; mtu 0: unchanged. `quiet_ipv6` keeps the kernel from making link-local
 * addresses of its own. */
int rtnl_link_set(struct rtnl *r, int index, bool up, const char *alias, uint32_t mtu,
    bool quiet_ipv6, struct err *e) must_check;
int rtnl_link_remove(struct rtnl *r, int index, struct err *e) must_check; /* gone already: 0 */

/* A veth pair; the peer is made in the network namespace behind peer_ns. */
int rtnl_veth_add(
    struct rtnl *r, const char *name, const char *peer, int peer_ns, struct err *e) must_check;

/* Adds, or keeps, an address or a route on a link. family is AF_INET or AF_INET6, addr in network
 * order; IPv6 addresses are used at once, without duplicate detection. route: bits 0 and addr NULL
 * is the default; gateway NULL: on-link. */
int rtnl_address_add(struct rtnl *r, int index, int family, const void *addr, unsigned bits,
    struct err *e) must_check;
int rtnl_route_add(struct rtnl *r, int index, int family, const void *addr, unsigned bits,
    const void *gateway, struct err *e) must_check;

/* Calls fn for each IPv4 address of this namespace (host byte order). */
int rtnl_ipv4_addresses(
    struct rtnl *r, void (*fn)(void *arg, uint32_t addr), void *arg, struct err *e) must_check;

/* Calls fn with the interface of each default route of the main table. */
int rtnl_default_routes(struct rtnl *r, int family, void (*fn)(void *arg, int index), void *arg,
    struct err *e) must_check;
