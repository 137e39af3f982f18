#include "net/rules.h"
#include "base/str.h"

/* Destinations that are never "the internet": private, link-local, loopback, multicast, reserved,
 * one public address that a cloud answers itself, with its guest's secrets (Azure's WireServer),
 * and the IPv6 ranges that carry an IPv4 address inside (NAT64, 6to4, Teredo, mapped), through
 * which a private one could be named. */
#define PRIVATE4                                                                                   \
	"0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, "       \
	"168.63.129.16/32, 192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3"
#define PRIVATE6                                                                                   \
	"::/8, 64:ff9b::/96, 64:ff9b:1::/48, 2001::/32, 2002::/16, fc00::/7, fe80::/10, "          \
	"fec0::/10, ff00::/8"

static const char counters[] =
    "	counter spoofed { }\n"     /* a source that is not the machine's own */
    "	counter to_host { }\n"     /* from a machine to this namespace: gateway, edge, resolver */
    "	counter to_machine { }\n"  /* from a machine to another that is not its organisation's */
    "	counter to_private { }\n"  /* from a machine to a private address outside */
    "	counter to_internet { }\n" /* passed: from a machine to the outside */
    "	counter to_peer { }\n"     /* passed: new connections inside an organisation */
    "	counter crowded { }\n"     /* a machine with too many connections, or neighbour messages, at
				      once */
    "	counter invalid { }\n"     /* belongs to no connection */
    "	counter forward { }\n"     /* any other forwarding, such as from the uplink inwards */
    "	counter input { }\n"       /* any other packet to this namespace */
    "	counter output { }\n";     /* this namespace's own, to where it has no business */

#define CONNECTIONS_MAX "4096"

static const char sets[] =
    "	set neighbours { type ifname; size 4096; flags dynamic,timeout; timeout 1m; }\n"
    "	set busy { type ifname; size 4096; flags dynamic; }\n"
    "	set own4 { type ifname . ipv4_addr; }\n"
    "	set own6 { type ifname . ipv6_addr; flags interval; }\n"
    "	set peers6 { type ifname . ipv6_addr; flags interval; }\n"
    "	set private4 { type ipv4_addr; flags interval; auto-merge; elements = { " PRIVATE4 " } }\n"
    "	set private6 { type ipv6_addr; flags interval; auto-merge; elements = { " PRIVATE6 " } }\n";

/* Before connection tracking, so that a forged packet never touches it. */
static const char source[] =
    "	chain source {\n"
    "		type filter hook prerouting priority raw; policy accept;\n"
    "		iifname \"t*\" jump from_tap\n"
    "	}\n"
    "	chain own_source {\n" /* the resolver's own answers need no tracking either */
    "		type filter hook output priority raw; policy accept;\n"
    "		oifname \"t*\" ip6 saddr " NET_RESOLVER6 " udp sport 53 notrack\n"
    "	}\n"
    "	chain crowd {\n" /* one machine must not fill the table of connections of all */
    "		type filter hook prerouting priority mangle; policy accept;\n"
    "		iifname \"t*\" ct state new add @busy { iifname ct count over " CONNECTIONS_MAX
    " } counter name crowded drop\n"
    "	}\n"
    "	chain from_tap {\n"
    "		iifname . ip6 saddr @own6 ip6 daddr " NET_RESOLVER6 " udp dport 53 notrack return\n"
    "		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } update @neighbours { "
    "iifname limit rate over "
    "10/second burst 30 packets } counter name crowded drop\n"
    "		iifname . ip saddr @own4 return\n"
    "		iifname . ip6 saddr @own6 return\n"
    "		ip6 hoplimit 255 ip6 saddr { ::, fe80::/10 } icmpv6 type { nd-neighbor-solicit, "
    "nd-neighbor-advert } return\n"
    "		counter name spoofed drop\n"
    "	}\n";

static const char forward[] =
    "	chain forward {\n"
    "		type filter hook forward priority filter; policy drop;\n"
    "		tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu\n"
    "		ct state established,related accept\n"
    "		ct state invalid counter name invalid drop\n"
    "		iifname \"t*\" oifname \"t*\" iifname . ip6 daddr @peers6 counter name to_peer "
    "accept\n"
    "		iifname \"t*\" oifname \"t*\" counter name to_machine drop\n"
    "		iifname \"t*\" ip6 daddr " NET_PREFIX6 " counter name to_machine drop\n"
    "		iifname \"t*\" oifname \"" UPLINK_INSIDE
    "\" ip daddr @private4 counter name to_private drop\n"
    "		iifname \"t*\" oifname \"" UPLINK_INSIDE
    "\" ip6 daddr @private6 counter name to_private drop\n"
    "		iifname \"t*\" oifname \"" UPLINK_INSIDE "\" counter name to_internet accept\n"
    "		counter name forward drop\n"
    "	}\n"
    "	chain outwards {\n"
    "		type nat hook postrouting priority srcnat; policy accept;\n"
    "		oifname \"" UPLINK_INSIDE "\" masquerade\n"
    "	}\n";

int rules_format_table(struct buf *b, const struct rules *r)
{
	char gateway[INET_ADDRSTRLEN], base[INET_ADDRSTRLEN];
	ipv4_format(gateway, net_plan_gateway(&r->plan));
	ipv4_format(base, r->plan.base);
	return buf_printf(b,
	    "table inet net-%s { }\ndelete table inet net-%s\ntable inet net-%s {\n%s%s%s%s"
	    "	chain input {\n"
	    "		type filter hook input priority filter; policy drop;\n"
	    "		iifname \"lo\" accept\n"
	    "		ct state established,related accept\n"
	    "		ct state invalid counter name invalid drop\n"
	    "		ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } "
	    "accept\n"
	    "		iifname \"t*\" ip6 daddr " NET_RESOLVER6
	    " meta l4proto { tcp, udp } th dport 53 accept\n"
	    "		iifname \"t*\" ip daddr %s icmp type echo-request limit rate 20/second "
	    "accept\n"
	    "		iifname \"t*\" counter name to_host drop\n"
	    "		counter name input drop\n"
	    "	}\n"
	    "	chain output {\n"
	    "		type filter hook output priority filter; policy drop;\n"
	    "		oifname \"lo\" accept\n"
	    "		ct state established,related accept\n"
	    "		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n"
	    "		oifname \"t*\" ip6 saddr " NET_RESOLVER6 " udp sport 53 accept\n"
	    "		oifname \"t*\" ip daddr %s/%u meta l4proto tcp meta skuid %u accept\n"
	    "		oifname \"" UPLINK_INSIDE
	    "\" meta l4proto { tcp, udp } th dport 53 meta skuid %u accept\n"
	    "		counter name output drop\n"
	    "	}\n"
	    "}\n",
	    r->instance, r->instance, r->instance, counters, sets, source, forward, gateway, base,
	    r->plan.bits, (unsigned)r->edge, (unsigned)r->dns);
}

enum set { SET_OWN4, SET_OWN6, SET_PEERS6, SETS };
static const char *const set_name[SETS] = { "own4", "own6", "peers6" };

/* `"tap" . address`, what the set holds for the tap. */
static int add_element(struct buf *b, enum set set, const struct tap *t)
{
	char name[IFNAMSIZ], text[INET6_ADDRSTRLEN];
	tap_name(name, t->machine);
	if (set == SET_OWN4) {
		ipv4_format(text, t->addr.ipv4);
		return buf_printf(b, "\"%s\" . %s", name, text);
	}
	struct in6_addr a = set == SET_OWN6 ? t->addr.ipv6 : sixpn_prefix(t->network);
	a.s6_addr[14] = a.s6_addr[15] = 0;
	ipv6_format(text, &a);
	return buf_printf(b, "\"%s\" . %s/%d", name, text,
	    set == SET_OWN6 ? SIXPN_MACHINE_BITS : SIXPN_NETWORK_BITS);
}

static int elements(
    struct buf *b, const struct rules *r, const char *verb, const struct tap *taps, size_t n)
{
	int k = 0;
	for (enum set set = 0; k == 0 && n && set < SETS; set++) {
		k = buf_printf(
		    b, "%s element inet net-%s %s {\n", verb, r->instance, set_name[set]);
		for (size_t i = 0; k == 0 && i < n; i++) {
			k = add_element(b, set, &taps[i]);
			if (k == 0)
				k = buf_add_str(b, i + 1 < n ? ",\n" : "\n}\n");
		}
	}
	return k;
}

int rules_format_taps(struct buf *b, const struct rules *r, const struct tap *taps, size_t n)
{
	int k = 0;
	for (enum set set = 0; k == 0 && set < SETS; set++)
		k = buf_printf(b, "flush set inet net-%s %s\n", r->instance, set_name[set]);
	return k == 0 ? elements(b, r, "add", taps, n) : k;
}

int rules_format_change(struct buf *b, const struct rules *r, const struct tap *t, bool add)
{
	return elements(b, r, add ? "add" : "delete", t, 1);
}

int rules_format_forget(struct buf *b, const struct rules *r, const char *machine)
{
	char name[IFNAMSIZ];
	tap_name(name, machine);
	return buf_printf(b, "delete element inet net-%s busy { \"%s\" }\n", r->instance, name);
}
