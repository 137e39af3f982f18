#include "guest/netconf.h"
#include "base/file.h"
#include "base/util.h"
#include "guest/say.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

struct request {
	struct nlmsghdr head;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg addr;
		struct rtmsg route;
	};
	uint8_t attrs[256];
};

static void begin(struct request *q, int type, int flags, size_t body)
{
	*q = (struct request){ .head = { .nlmsg_len = (uint32_t)NLMSG_LENGTH(body),
				   .nlmsg_type = (uint16_t)type,
				   .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags) } };
}

static void attr(struct request *q, int type, const void *data, size_t n)
{
	struct rtattr *a = (struct rtattr *)(void *)((uint8_t *)q + NLMSG_ALIGN(q->head.nlmsg_len));
	a->rta_type = (uint16_t)type;
	a->rta_len = (uint16_t)RTA_LENGTH(n);
	memcpy(RTA_DATA(a), data, n);
	q->head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(q->head.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static int ask(int s, struct request *q)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr err;
		uint8_t more[512];
	} a;
	if (send(s, q, q->head.nlmsg_len, 0) < 0)
		return -errno;
	ssize_t n = recv(s, &a, sizeof a, 0);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof a.err) || a.head.nlmsg_type != NLMSG_ERROR)
		return n < 0 ? -errno : -EPROTO;
	return a.err.error;
}

static int link_up(int s, const char *name)
{
	struct request q;
	begin(&q, RTM_NEWLINK, 0, sizeof q.link);
	q.link.ifi_index = (int)if_nametoindex(name);
	q.link.ifi_flags = q.link.ifi_change = IFF_UP;
	return q.link.ifi_index ? ask(s, &q) : -ENODEV;
}

static int address(int s, int family, const void *ip, size_t n, unsigned prefix, unsigned index)
{
	struct request q;
	begin(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof q.addr);
	q.addr.ifa_family = (uint8_t)family;
	q.addr.ifa_prefixlen = (uint8_t)prefix;
	q.addr.ifa_index = index;
	q.addr.ifa_flags =
	    IFA_F_NODAD; /* the host gives each address once, and nothing waits for a probe */
	attr(&q, IFA_LOCAL, ip, n);
	attr(&q, IFA_ADDRESS, ip, n);
	return ask(s, &q);
}

static int default_route(int s, int family, const void *gateway, size_t n, uint32_t index)
{
	struct request q;
	begin(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof q.route);
	q.route.rtm_family = (uint8_t)family;
	q.route.rtm_table = RT_TABLE_MAIN;
	q.route.rtm_protocol = RTPROT_STATIC;
	q.route.rtm_scope = RT_SCOPE_UNIVERSE;
	q.route.rtm_type = RTN_UNICAST;
	q.route.rtm_flags = RTNH_F_ONLINK;
	attr(&q, RTA_GATEWAY, gateway, n);
	attr(&q, RTA_OIF, &index, sizeof index);
	return ask(s, &q);
}

static int family_up(int s, int family, const char *ip, const char *gateway, unsigned prefix,
    unsigned index, struct err *e)
{
	uint8_t a[16], g[16];
	size_t n = family == AF_INET ? 4 : 16;
	if (!ip)
		return 0;
	if (inet_pton(family, ip, a) != 1 || (gateway && inet_pton(family, gateway, g) != 1))
		return err_set(e, ERR_INVALID, "'%.50s' or its gateway is not an address", ip);
	int r = address(s, family, a, n, prefix, index);
	if (r < 0)
		return err_sys(e, -r, "cannot set address %s", ip);
	if (gateway && (r = default_route(s, family, g, n, index)) < 0)
		return err_sys(e, -r, "cannot route by %s", gateway);
	return 0;
}

static void sysctl_off(const char *path)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, "0", 1);
}

int netconf_apply(const struct runconf *c, struct err *e)
{
	cleanup_close int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (s < 0)
		return err_sys(e, errno, "netlink");
	(void)link_up(s, "lo");
	unsigned index = if_nametoindex("eth0");
	if (!index) {
		if (c->ipv4 || c->ipv6)
			say("no network card: the addresses of the run config are not set");
		return 0;
	}
	sysctl_off("/proc/sys/net/ipv6/conf/eth0/accept_ra");
	sysctl_off("/proc/sys/net/ipv6/conf/eth0/accept_dad");
	int r = link_up(s, "eth0");
	if (r < 0)
		return err_sys(e, -r, "cannot bring up eth0");
	if ((r = family_up(s, AF_INET, c->ipv4, c->ipv4_gateway, 32, index, e)) < 0)
		return r;
	return family_up(s, AF_INET6, c->ipv6, c->ipv6_gateway, 112, index, e);
}
