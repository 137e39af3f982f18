#include "net/flows.h"
#include "base/str.h"
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

enum { BATCH = 1024, TUPLE_MAX = 128, ROUNDS_MAX = 1024 };

/* Connections found in one walk, by the tuple that names them. */
struct found {
	const struct machine_addresses *m;
	int family;
	size_t n;
	struct {
		uint16_t len;
		uint8_t attr[TUPLE_MAX]; /* CTA_TUPLE_ORIG as the kernel gave it */
	} tuple[BATCH];
};

static bool is_own(const struct found *f, const struct nlattr *a, size_t size)
{
	const void *p = mnl_attr_get_payload(a);
	if (mnl_attr_get_payload_len(a) != size)
		return false;
	if (size == sizeof(struct in6_addr)) /* its whole /112 */
		return !memcmp(p, f->m->ipv6.s6_addr, SIXPN_MACHINE_BITS / 8);
	uint32_t four = htonl(f->m->ipv4);
	return !memcmp(p, &four, sizeof(four));
}

static bool names_machine(const struct found *f, const struct nlattr *tuple)
{
	const struct nlattr *part, *a;
	mnl_attr_for_each_nested(part, tuple)
	{
		if (mnl_attr_get_type(part) != CTA_TUPLE_IP)
			continue;
		mnl_attr_for_each_nested(a, part)
		{
			int type = mnl_attr_get_type(a);
			if (((type == CTA_IP_V4_SRC || type == CTA_IP_V4_DST) && is_own(f, a, 4)) ||
			    ((type == CTA_IP_V6_SRC || type == CTA_IP_V6_DST) && is_own(f, a, 16)))
				return true;
		}
	}
	return false;
}

static int on_flow(const struct nlmsghdr *h, void *data)
{
	struct found *f = data;
	const struct nlattr *a, *orig = NULL;
	bool own = false;
	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
	{
		int type = mnl_attr_get_type(a);
		if (type == CTA_TUPLE_ORIG)
			orig = a;
		if (type == CTA_TUPLE_ORIG || type == CTA_TUPLE_REPLY)
			own |= names_machine(f, a);
	}
	if (!own || !orig || orig->nla_len > TUPLE_MAX || f->n == BATCH)
		return MNL_CB_OK;
	f->tuple[f->n].len = orig->nla_len;
	memcpy(f->tuple[f->n++].attr, orig, orig->nla_len);
	return MNL_CB_OK;
}

static struct nlmsghdr *begin(char *buf, int family, uint16_t what, uint16_t flags, uint32_t seq)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | what;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = seq;
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->nfgen_family = (uint8_t)family;
	g->version = NFNETLINK_V0;
	return h;
}

static int talk(struct mnl_socket *s, const struct nlmsghdr *h, mnl_cb_t cb, void *arg)
{
	static char in[65536];
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(s, in, sizeof(in));
		if (n < 0 && errno == EINTR)
			continue;
		int k = n < 0 ? -1
			      : mnl_cb_run(
				    in, (size_t)n, h->nlmsg_seq, mnl_socket_get_portid(s), cb, arg);
		if (k < 0)
			return -errno;
		if (k == MNL_CB_STOP)
			return 0;
	}
}

static int forget_found(struct mnl_socket *s, const struct found *f, uint32_t *seq)
{
	for (size_t i = 0; i < f->n; i++) {
		char buf[256] = { 0 };
		struct nlmsghdr *h = begin(buf, f->family, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, ++*seq);
		memcpy(mnl_nlmsg_get_payload_tail(h), f->tuple[i].attr, f->tuple[i].len);
		h->nlmsg_len += MNL_ALIGN(f->tuple[i].len);
		int r = talk(s, h, NULL, NULL);
		if (r < 0 && r != -ENOENT) /* it may end by itself */
			return r;
	}
	return 0;
}

static int forget_family(struct mnl_socket *s, struct found *f, uint32_t *seq)
{
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		char buf[256] = { 0 };
		f->n = 0;
		int r = talk(
		    s, begin(buf, f->family, IPCTNL_MSG_CT_GET, NLM_F_DUMP, ++*seq), on_flow, f);
		bool last = f->n < BATCH;
		if (r == 0)
			r = forget_found(s, f, seq);
		if (r < 0 || last)
			return r;
	}
	return -EBUSY;
}

int flows_forget(const struct machine_addresses *m, struct err *e)
{
	struct found *f = calloc(1, sizeof(*f));
	struct mnl_socket *s = f ? mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC) : NULL;
	uint32_t seq = 0;
	int r = !f ? -ENOMEM : s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0 ? 0 : -errno;
	static const int families[] = { AF_INET, AF_INET6 };
	for (size_t i = 0; r == 0 && i < countof(families); i++) {
		f->m = m;
		f->family = families[i];
		r = forget_family(s, f, &seq);
	}
	if (s)
		mnl_socket_close(s);
	free(f);
	return r < 0 ? err_sys(e, -r, "cannot forget the machine's connections") : 0;
}
