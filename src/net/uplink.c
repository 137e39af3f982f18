#include "net/uplink.h"
#include "base/str.h"
#include "net/nft.h"
#include "net/rtnl.h"
#include "net/rules.h"
#include "net/sysctl.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>

/* What the host has: found by one walk over its links, addresses and default routes. */
struct host {
	struct uplink *up;
	struct rtnl_link own; /* index 0: not there yet */
	int default4[UPLINK_DEFAULTS_MAX], default6[UPLINK_DEFAULTS_MAX];
	size_t defaults4, defaults6;
	bool taken[UPLINK_SLOTS];
	bool others_opened4, others_opened6;
};

static void see_default4(void *arg, int index)
{
	struct host *h = arg;
	if (h->defaults4 < countof(h->default4))
		h->default4[h->defaults4++] = index;
}

static void see_default6(void *arg, int index)
{
	struct host *h = arg;
	if (h->defaults6 < countof(h->default6))
		h->default6[h->defaults6++] = index;
}

static void see_address(void *arg, uint32_t addr)
{
	struct host *h = arg;
	uint32_t first = uplink_ipv4(0, false) - 1;
	if (addr >= first && addr < first + 4 * UPLINK_SLOTS)
		h->taken[(addr - first) / 4] = true;
}

static bool among(int index, const int *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == index)
			return true;
	return false;
}

static void see_link(void *arg, const struct rtnl_link *l)
{
	struct host *h = arg;
	struct uplink *u = h->up;
	if (among(l->index, h->default4, h->defaults4))
		str_copy(u->out4[u->outs4++], IFNAMSIZ, l->name);
	if (among(l->index, h->default6, h->defaults6))
		str_copy(u->out6[u->outs6++], IFNAMSIZ, l->name);
	if (among(l->index, h->default4, h->defaults4) ||
	    among(l->index, h->default6, h->defaults6))
		u->mtu = u->mtu ? MIN(u->mtu, l->mtu) : l->mtu;
	if (streq(l->name, u->link)) {
		h->own = *l;
	} else if (str_starts(l->name, UPLINK_HOST_PREFIX)) {
		unsigned slot;
		bool four, six;
		if (uplink_alias_parse(l->alias, &slot, &four, &six)) {
			h->taken[slot] = true;
			h->others_opened4 |= four;
			h->others_opened6 |= six;
		}
	}
}

static int look(struct host *h, struct rtnl *r, struct err *e)
{
	int k = rtnl_default_routes(r, AF_INET, see_default4, h, e);
	if (k == 0)
		k = rtnl_default_routes(r, AF_INET6, see_default6, h, e);
	if (k == 0)
		k = rtnl_ipv4_addresses(r, see_address, h, e);
	return k == 0 ? rtnl_links(r, see_link, h, e) : k;
}

static int choose_slot(struct host *h, struct err *e)
{
	struct uplink *u = h->up;
	if (h->own.index && uplink_alias_parse(h->own.alias, &u->slot, &u->opened4, &u->opened6))
		return 0;
	unsigned start = 5381; /* spread by name, so that instances started together rarely meet */
	for (const char *s = u->instance; *s; s++)
		start = start * 33 + (unsigned char)*s;
	for (unsigned i = 0; i < UPLINK_SLOTS; i++) {
		u->slot = (start + i) % UPLINK_SLOTS;
		if (!h->taken[u->slot])
			return 0;
	}
	return err_set(
	    e, ERR_CAPACITY, "all %d uplink ranges of this host are taken", UPLINK_SLOTS);
}

static int both_addresses(struct rtnl *r, int index, unsigned slot, bool inside, struct err *e)
{
	struct in_addr four = { htonl(uplink_ipv4(slot, inside)) };
	struct in6_addr six = uplink_ipv6(slot, inside);
	int k = rtnl_address_add(r, index, AF_INET, &four, 30, e);
	return k == 0 ? rtnl_address_add(r, index, AF_INET6, &six, 126, e) : k;
}

/* The machines' end: addresses and default routes (IPv6 only where the host has one, so that
 * without it a machine is told at once). */
static int inside(const struct uplink *u, int netns, struct err *e)
{
	cleanup_close int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0 || setns(netns, CLONE_NEWNET))
		return err_sys(e, errno, "cannot enter the machines' network namespace");
	struct rtnl *r = NULL;
	int index = 0, k = rtnl_open(&r, e);
	if (k == 0)
		k = rtnl_link_index(r, UPLINK_INSIDE, &index, e);
	if (k == 0)
		k = rtnl_link_set(r, index, true, NULL, u->mtu, false, e);
	if (k == 0)
		k = both_addresses(r, index, u->slot, true, e);
	struct in_addr four = { htonl(uplink_ipv4(u->slot, false)) };
	struct in6_addr six = uplink_ipv6(u->slot, false);
	if (k == 0)
		k = rtnl_route_add(r, index, AF_INET, NULL, 0, &four, e);
	if (k == 0 && u->outs6)
		k = rtnl_route_add(r, index, AF_INET6, NULL, 0, &six, e);
	rtnl_close(r);
	if (setns(home, CLONE_NEWNET))
		return err_sys(e, errno, "cannot come back from the machines' network namespace");
	return k;
}

static bool is_off(const char *name)
{
	char now[16];
	return sysctl_get(name, now, sizeof(now), NULL) == 0 && streq(now, "0");
}

static void name_forwarding(char dst[96], const char *link)
{
	snprintf(dst, 96, "ipv4/conf/%s/forwarding", link);
}

/* Says in u->opened whether it is Ward that turns forwarding on. */
static void will_open(struct host *h)
{
	struct uplink *u = h->up;
	char name[96];
	u->opened4 |= h->others_opened4;
	u->opened6 |= h->others_opened6;
	for (size_t i = 0; i < u->outs4; i++) {
		name_forwarding(name, u->out4[i]);
		u->opened4 |= is_off(name);
	}
	u->opened6 |= u->outs6 && is_off("ipv6/conf/all/forwarding");
}

/* A host that learns its routes from advertisements stops doing so when it forwards, unless told 2.
 */
static void keep_advertisements(void *arg, const struct rtnl_link *l)
{
	char name[96], now[16];
	snprintf(name, sizeof(name), "ipv6/conf/%s/accept_ra", l->name);
	if (sysctl_get(name, now, sizeof(now), NULL) == 0 && streq(now, "1") &&
	    sysctl_set(name, "2", arg) < 0)
		return; /* told by what follows: the link has no IPv6 */
}

static int open_forwarding(const struct uplink *u, struct rtnl *r, struct err *e)
{
	char name[96];
	name_forwarding(name, u->link);
	int k = sysctl_set(name, "1", e);
	for (size_t i = 0; k == 0 && i < u->outs4; i++) {
		name_forwarding(name, u->out4[i]);
		k = sysctl_set(name, "1", e);
	}
	if (k == 0 && u->outs6 && is_off("ipv6/conf/all/forwarding")) {
		k = rtnl_links(r, keep_advertisements, e, e);
		if (k == 0)
			k = sysctl_set("ipv6/conf/all/forwarding", "1", e);
	}
	return k;
}

static int prepare(struct host *h, const char *instance, struct rtnl **ret, struct err *e)
{
	struct places p;
	struct uplink *u = h->up;
	int k = places_init(&p, "", instance, e); /* checks the name */
	if (k < 0)
		return k;
	str_copy(u->instance, sizeof(u->instance), p.instance);
	snprintf(u->link, sizeof(u->link), UPLINK_HOST_PREFIX "%s", u->instance);
	k = rtnl_open(ret, e);
	return k == 0 ? look(h, *ret, e) : k;
}

static int build(struct host *h, struct rtnl *r, int netns, struct err *e)
{
	struct uplink *u = h->up;
	char alias[RTNL_ALIAS_MAX];
	cleanup_buf struct buf rules;
	buf_init(&rules, 64 * 1024);
	int k = choose_slot(h, e), index = h->own.index;
	if (k == 0 && index &&
	    inside(u, netns, NULL) < 0) { /* its other end went with an older namespace */
		k = rtnl_link_remove(r, index, e);
		index = 0;
	}
	will_open(h);
	/* the rules stand before the link does */
	if (k == 0 && uplink_format_rules(&rules, u) < 0)
		k = err_set(e, ERR_NO_MEMORY, "no memory for the uplink's rules");
	if (k == 0)
		k = nft_apply(rules.data, e);
	if (k == 0 && !index) {
		k = rtnl_veth_add(r, u->link, UPLINK_INSIDE, netns, e);
		if (k == 0)
			k = rtnl_link_index(r, u->link, &index, e);
	}
	uplink_alias_format(alias, sizeof(alias), u);
	if (k == 0)
		k = rtnl_link_set(r, index, true, alias, u->mtu, true, e);
	if (k == 0)
		k = both_addresses(r, index, u->slot, false, e);
	if (k == 0)
		k = inside(u, netns, e);
	return k == 0 ? open_forwarding(u, r, e) : k;
}

int uplink_up(const char *instance, const char *netns, struct err *e)
{
	struct uplink u = { 0 };
	struct host h = { .up = &u };
	struct rtnl *r = NULL;
	cleanup_close int ns = open(netns, O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return err_sys(e, errno, "cannot open the network namespace %s", netns);
	int k = prepare(&h, instance, &r, e);
	if (k == 0)
		k = build(&h, r, ns, e);
	rtnl_close(r);
	return k;
}

static int close_forwarding(const struct host *h, struct err *e)
{
	const struct uplink *u = h->up;
	char name[96];
	int k = 0;
	for (size_t i = 0; k == 0 && u->opened4 && !h->others_opened4 && i < u->outs4; i++) {
		name_forwarding(name, u->out4[i]);
		k = sysctl_set(name, "0", e);
	}
	if (k == 0 && u->opened6 && !h->others_opened6)
		k = sysctl_set("ipv6/conf/all/forwarding", "0", e);
	return k;
}

int uplink_down(const char *instance, struct err *e)
{
	struct uplink u = { 0 };
	struct host h = { .up = &u };
	struct rtnl *r = NULL;
	int k = prepare(&h, instance, &r, e);
	if (k == 0 && h.own.index) {
		if (uplink_alias_parse(h.own.alias, &u.slot, &u.opened4, &u.opened6))
			k = close_forwarding(&h, e);
		if (k == 0)
			k = rtnl_link_remove(r, h.own.index, e);
	}
	rtnl_close(r);
	/* last: while the link stands, so do its rules */
	char text[128];
	snprintf(text, sizeof(text), "table inet uplink-%s { }\ndelete table inet uplink-%s\n",
	    u.instance, u.instance);
	return k == 0 ? nft_apply(text, e) : k;
}
