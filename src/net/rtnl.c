#include "net/rtnl.h"
#include "base/str.h"
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

struct rtnl {
	struct mnl_socket *sock;
	uint32_t seq;
	char send[4096];
	char recv[32768]; /* a dump comes in packets of at most this */
};

int rtnl_open(struct rtnl **ret, struct err *e)
{
	struct rtnl *r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(e, ERR_NO_MEMORY, "no memory for a netlink socket");
	r->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!r->sock || mnl_socket_bind(r->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int num = errno;
		rtnl_close(r);
		return err_sys(e, num, "cannot open a netlink socket");
	}
	*ret = r;
	return 0;
}

void rtnl_close(struct rtnl *r)
{
	if (r && r->sock)
		mnl_socket_close(r->sock);
	free(r);
}

static struct nlmsghdr *begin(struct rtnl *r, uint16_t type, uint16_t flags)
{
	memset(r->send, 0, sizeof(r->send));
	struct nlmsghdr *h = mnl_nlmsg_put_header(r->send);
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = ++r->seq;
	return h;
}

/* Sends, then reads answers until the acknowledgement or the end of the dump. */
static int talk(struct rtnl *r, const struct nlmsghdr *h, mnl_cb_t cb, void *arg)
{
	if (mnl_socket_sendto(r->sock, h, h->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(r->sock, r->recv, sizeof(r->recv));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		int k =
		    mnl_cb_run(r->recv, (size_t)n, r->seq, mnl_socket_get_portid(r->sock), cb, arg);
		if (k < 0)
			return -errno;
		if (k == MNL_CB_STOP)
			return 0;
	}
}

static int ask(struct rtnl *r, struct nlmsghdr *h)
{
	h->nlmsg_flags |= NLM_F_ACK;
	return talk(r, h, NULL, NULL);
}

struct walk {
	void (*fn)(void *arg, const struct rtnl_link *l);
	void *arg;
};

static int on_link(const struct nlmsghdr *h, void *data)
{
	const struct walk *w = data;
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(h);
	if (h->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	struct rtnl_link l = { .index = info->ifi_index, .up = info->ifi_flags & IFF_UP };
	const struct nlattr *a;
	mnl_attr_for_each(a, h, sizeof(*info))
	{
		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME: str_copy(l.name, sizeof(l.name), mnl_attr_get_str(a)); break;
		case IFLA_IFALIAS: str_copy(l.alias, sizeof(l.alias), mnl_attr_get_str(a)); break;
		case IFLA_MTU: l.mtu = mnl_attr_get_u32(a); break;
		default: break;
		}
	}
	w->fn(w->arg, &l);
	return MNL_CB_OK;
}

int rtnl_links(
    struct rtnl *r, void (*fn)(void *arg, const struct rtnl_link *l), void *arg, struct err *e)
{
	struct nlmsghdr *h = begin(r, RTM_GETLINK, NLM_F_DUMP);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(h, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	struct walk w = { fn, arg };
	int k = talk(r, h, on_link, &w);
	return k < 0 ? err_sys(e, -k, "cannot list the network interfaces") : 0;
}

static void keep_index(void *arg, const struct rtnl_link *l)
{
	*(int *)arg = l->index;
}

int rtnl_link_index(struct rtnl *r, const char *name, int *ret, struct err *e)
{
	int index = 0;
	struct walk w = { keep_index, &index };
	struct nlmsghdr *h = begin(r, RTM_GETLINK, NLM_F_ACK);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(h, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	int k = talk(r, h, on_link, &w);
	if (k < 0 || !index)
		return err_sys(e, k < 0 ? -k : ENODEV, "cannot find the interface %s", name);
	*ret = index;
	return 0;
}

int rtnl_link_set(struct rtnl *r, int index, bool up, const char *alias, uint32_t mtu,
    bool quiet_ipv6, struct err *e)
{
	struct nlmsghdr *h = begin(r, RTM_NEWLINK, 0);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(h, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = index;
	info->ifi_change = IFF_UP;
	info->ifi_flags = up ? IFF_UP : 0;
	if (alias)
		mnl_attr_put_strz(h, IFLA_IFALIAS, alias);
	if (mtu)
		mnl_attr_put_u32(h, IFLA_MTU, mtu);
	if (quiet_ipv6) {
		struct nlattr *families = mnl_attr_nest_start(h, IFLA_AF_SPEC);
		struct nlattr *six = mnl_attr_nest_start(h, AF_INET6);
		mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
		mnl_attr_nest_end(h, six);
		mnl_attr_nest_end(h, families);
	}
	int k = ask(r, h);
	return k < 0 ? err_sys(e, -k, "cannot set up interface %d", index) : 0;
}

int rtnl_link_remove(struct rtnl *r, int index, struct err *e)
{
	struct nlmsghdr *h = begin(r, RTM_DELLINK, 0);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(h, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = index;
	int k = ask(r, h);
	return k < 0 && k != -ENODEV ? err_sys(e, -k, "cannot remove interface %d", index) : 0;
}

int rtnl_veth_add(struct rtnl *r, const char *name, const char *peer, int peer_ns, struct err *e)
{
	struct nlmsghdr *h = begin(r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(h, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	struct nlattr *li = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_str(h, IFLA_INFO_KIND, "veth");
	struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	struct nlattr *other = mnl_attr_nest_start(h, VETH_INFO_PEER);
	struct ifinfomsg *pi =
	    mnl_nlmsg_put_extra_header(h, sizeof(*pi)); /* the peer's own header */
	pi->ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(h, IFLA_IFNAME, peer);
	mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)peer_ns);
	mnl_attr_nest_end(h, other);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, li);
	int k = ask(r, h);
	return k < 0 ? err_sys(e, -k, "cannot make the interface pair %s and %s", name, peer) : 0;
}

static size_t size_of(int family)
{
	return family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
}

int rtnl_address_add(
    struct rtnl *r, int index, int family, const void *addr, unsigned bits, struct err *e)
{
	struct nlmsghdr *h = begin(r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ifa_family = (uint8_t)family;
	m->ifa_prefixlen = (uint8_t)bits;
	m->ifa_index = (uint32_t)index;
	m->ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0;
	const uint8_t *a = addr;
	bool local6 = family == AF_INET6 && a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
	m->ifa_scope = local6 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	mnl_attr_put(h, IFA_LOCAL, size_of(family), addr);
	mnl_attr_put(h, IFA_ADDRESS, size_of(family), addr);
	int k = ask(r, h);
	return k < 0 && k != -EEXIST
		   ? err_sys(e, -k, "cannot add an address to interface %d", index)
		   : 0;
}

int rtnl_route_add(struct rtnl *r, int index, int family, const void *addr, unsigned bits,
    const void *gateway, struct err *e)
{
	struct nlmsghdr *h = begin(r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->rtm_family = (uint8_t)family;
	m->rtm_dst_len = (uint8_t)bits;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_type = RTN_UNICAST;
	m->rtm_scope = gateway || family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	if (addr)
		mnl_attr_put(h, RTA_DST, size_of(family), addr);
	if (gateway)
		mnl_attr_put(h, RTA_GATEWAY, size_of(family), gateway);
	mnl_attr_put_u32(h, RTA_OIF, (uint32_t)index);
	int k = ask(r, h);
	return k < 0 && k != -EEXIST ? err_sys(e, -k, "cannot add a route over interface %d", index)
				     : 0;
}

struct address_walk {
	void (*fn)(void *arg, uint32_t addr);
	void *arg;
};

static int on_address(const struct nlmsghdr *h, void *data)
{
	const struct address_walk *w = data;
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	if (h->nlmsg_type != RTM_NEWADDR || m->ifa_family != AF_INET)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == IFA_LOCAL)
			w->fn(w->arg, ntohl(mnl_attr_get_u32(a)));
	}
	return MNL_CB_OK;
}

int rtnl_ipv4_addresses(
    struct rtnl *r, void (*fn)(void *arg, uint32_t addr), void *arg, struct err *e)
{
	struct nlmsghdr *h = begin(r, RTM_GETADDR, NLM_F_DUMP);
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ifa_family = AF_INET;
	struct address_walk w = { fn, arg };
	int k = talk(r, h, on_address, &w);
	return k < 0 ? err_sys(e, -k, "cannot list the addresses") : 0;
}

struct route_walk {
	void (*fn)(void *arg, int index);
	void *arg;
};

static int on_route(const struct nlmsghdr *h, void *data)
{
	const struct route_walk *w = data;
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	if (h->nlmsg_type != RTM_NEWROUTE || m->rtm_dst_len || m->rtm_table != RT_TABLE_MAIN ||
	    m->rtm_type != RTN_UNICAST)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == RTA_OIF)
			w->fn(w->arg, (int)mnl_attr_get_u32(a));
	}
	return MNL_CB_OK;
}

int rtnl_default_routes(
    struct rtnl *r, int family, void (*fn)(void *arg, int index), void *arg, struct err *e)
{
	struct nlmsghdr *h = begin(r, RTM_GETROUTE, NLM_F_DUMP);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->rtm_family = (uint8_t)family;
	struct route_walk w = { fn, arg };
	int k = talk(r, h, on_route, &w);
	return k < 0 ? err_sys(e, -k, "cannot list the routes") : 0;
}
