#include "net/network.h"
#include "base/str.h"
#include "net/flows.h"
#include "net/nft.h"
#include "net/sysctl.h"
#include <arpa/inet.h>

enum { RULES_MAX = 1024 * 1024 }; /* three elements of about 100 bytes for each of 1024 machines */

static int apply(struct network *n, bool whole, struct err *e)
{
	cleanup_buf struct buf b;
	buf_init(&b, RULES_MAX);
	int r = whole ? rules_format_table(&b, &n->rules) : 0;
	if (r == 0)
		r = rules_format_taps(&b, &n->rules, n->tap, n->taps);
	return r < 0 ? err_sys(e, -r, "cannot write the rules of %zu machines", n->taps)
		     : nft_apply(b.data, e);
}

/* One tap more or less: the small change, or all sets anew if that does not fit what is there. */
static int change(struct network *n, const struct tap *t, bool add, struct err *e)
{
	cleanup_buf struct buf b;
	struct err small;
	buf_init(&b, RULES_MAX);
	if (rules_format_change(&b, &n->rules, t, add) == 0 && nft_apply(b.data, &small) == 0)
		return 0;
	return apply(n, false, e);
}

static size_t find(const struct network *n, const char *machine)
{
	size_t i = 0;
	while (i < n->taps && !streq(n->tap[i].machine, machine))
		i++;
	return i;
}

static void adopt(void *arg, const struct rtnl_link *l)
{
	struct network *n = arg;
	struct tap t;
	if (n->taps < countof(n->tap) && tap_from_link(&t, &n->rules.plan, l))
		n->tap[n->taps++] = t;
}

static int resolver_address(struct network *n, struct err *e)
{
	struct in6_addr a;
	int index, r = rtnl_link_index(n->rtnl, "lo", &index, e);
	if (r == 0)
		r = rtnl_link_set(n->rtnl, index, true, NULL, 0, false, e);
	if (r == 0 && inet_pton(AF_INET6, NET_RESOLVER6, &a) != 1)
		r = err_set(e, ERR_INTERNAL, "the resolver's address does not parse");
	return r < 0 ? r : rtnl_address_add(n->rtnl, index, AF_INET6, &a, 128, e);
}

int network_start(struct network *n, struct err *e)
{
	int r = rtnl_open(&n->rtnl, e);
	/* the rules come first: nothing passes before they stand */
	if (r == 0)
		r = rtnl_links(n->rtnl, adopt, n, e);
	if (r == 0)
		r = apply(n, true, e);
	if (r == 0)
		r = sysctl_machines(e);
	if (r == 0)
		r = resolver_address(n, e);
	for (size_t i = 0; r == 0 && i < n->taps; i++)
		r = tap_configure(n->rtnl, &n->rules.plan, &n->tap[i], e);
	if (r < 0)
		network_stop(n);
	return r;
}

void network_stop(struct network *n)
{
	rtnl_close(n->rtnl);
	n->rtnl = NULL;
}

static int machine_of(char dst[MACHINE_ID_LEN + 1], const struct net_tap *ask, struct err *e)
{
	if (ask->machine[MACHINE_ID_LEN])
		return err_set(e, ERR_INVALID, "the machine's id is too long");
	memcpy(dst, ask->machine, MACHINE_ID_LEN + 1);
	return id_is_machine(dst)
		   ? 0
		   : err_set(e, ERR_INVALID, "a machine's id is %d hex digits", MACHINE_ID_LEN);
}

/* The rules hold without this: it only keeps room for other machines' counts. */
static void forget_count(const struct network *n, const char *machine)
{
	cleanup_buf struct buf b;
	struct err none; /* it may never have made a connection */
	buf_init(&b, 256);
	if (rules_format_forget(&b, &n->rules, machine) < 0 || nft_apply(b.data, &none) < 0)
		return;
}

/* Closes the machine's tap to all traffic, forgets its connections, then removes the device. What
 * failed can be asked again. */
static int drop(struct network *n, size_t i, struct err *e)
{
	struct tap gone = n->tap[i];
	n->tap[i] = n->tap[--n->taps];
	int r = change(n, &gone, false, e);
	if (r == 0)
		r = flows_forget(&gone.addr, e);
	if (r == 0)
		r = tap_remove(n->rtnl, gone.machine, e);
	if (r < 0)
		n->tap[n->taps++] = gone;
	else
		forget_count(n, gone.machine);
	return r;
}

static int wanted(struct network *n, const struct net_tap *ask, struct tap *ret, struct err *e)
{
	struct tap t = { .network = ask->network, .host = ask->host, .number = ask->number };
	int r = machine_of(t.machine, ask, e);
	if (r == 0)
		r = net_plan_machine(&n->rules.plan, t.network, t.host, t.number, &t.addr, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n->taps; i++)
		if (n->tap[i].number == t.number && !streq(n->tap[i].machine, t.machine))
			return err_set(e, ERR_CONFLICT, "machine number %u belongs to machine %s",
			    t.number, n->tap[i].machine);
	*ret = t;
	return 0;
}

static void describe(const struct network *n, const struct tap *t, struct net_answer *ret)
{
	struct in6_addr own = t->addr.ipv6;
	char text[INET6_ADDRSTRLEN];
	ipv6_format(text, &own);
	str_copy(ret->ipv6, sizeof(ret->ipv6), text);
	str_copy(ret->ipv6_gateway, sizeof(ret->ipv6_gateway), NET_GATEWAY6);
	str_copy(ret->dns, sizeof(ret->dns), NET_RESOLVER6);
	ipv4_format(ret->ipv4, t->addr.ipv4);
	ipv4_format(ret->ipv4_gateway, net_plan_gateway(&n->rules.plan));
	mac_format(ret->mac, t->addr.mac);
}

int network_tap_open(struct network *n, const struct net_tap *ask, struct net_answer *ret,
    int *ret_fd, struct err *e)
{
	struct tap t = { 0 };
	int r = wanted(n, ask, &t, e);
	if (r < 0)
		return r;
	size_t i = find(n, t.machine);
	if (i < n->taps && (n->tap[i].number != t.number || n->tap[i].network != t.network ||
			       n->tap[i].host != t.host)) {
		r = drop(n, i, e); /* it has moved to another place: old addresses and routes go
				      with the link */
		if (r < 0)
			return r;
		i = n->taps;
	}
	if (i == countof(n->tap))
		return err_set(e, ERR_CAPACITY, "this host already has %d taps", NET_MACHINES_MAX);

	char name[IFNAMSIZ];
	tap_name(name, t.machine);
	cleanup_close int fd = -1;
	r = tap_device_open(n->tun, name, &fd, e);
	if (r < 0)
		return r;
	bool fresh = i == n->taps;
	if (fresh)
		n->tap[n->taps++] = t;
	r = change(n, &t, true, e);
	if (r == 0)
		r = tap_configure(n->rtnl, &n->rules.plan, &t, e);
	if (r < 0) {
		struct err later;
		if (fresh && drop(n, find(n, t.machine), &later) < 0)
			return err_prefix(
			    e, r, "and its tap could not be removed (%s)", later.text);
		return r;
	}
	describe(n, &t, ret);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int network_tap_remove(struct network *n, const struct net_tap *ask, struct err *e)
{
	char machine[MACHINE_ID_LEN + 1] = "";
	int r = machine_of(machine, ask, e);
	if (r < 0)
		return r;
	size_t i = find(n, machine);
	return i < n->taps ? drop(n, i, e) : tap_remove(n->rtnl, machine, e);
}
