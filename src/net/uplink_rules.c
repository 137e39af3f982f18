#include "base/str.h"
#include "core/addresses.h"
#include "net/uplink.h"
#include <arpa/inet.h>

uint32_t uplink_ipv4(unsigned slot, bool inside)
{
	return 0xa9fef000 /* 169.254.240.0 */ + 4 * slot + (inside ? 2 : 1);
}

struct in6_addr uplink_ipv6(unsigned slot, bool inside)
{
	struct in6_addr a = { .s6_addr = { 0xfd, 0x57, 0x61, 0x72, 0x64, 0x00 } };
	a.s6_addr[6] = (uint8_t)(slot >> 8);
	a.s6_addr[7] = (uint8_t)slot;
	a.s6_addr[15] = inside ? 2 : 1;
	return a;
}

void uplink_alias_format(char *dst, size_t size, const struct uplink *u)
{
	snprintf(dst, size, "slot %u opened %s%s", u->slot, u->opened4 ? "4" : "",
	    u->opened6 ? "6" : "");
}

bool uplink_alias_parse(const char *alias, unsigned *ret_slot, bool *ret_opened4, bool *ret_opened6)
{
	static const char before[] = "slot ", after[] = " opened ";
	char digits[5];
	uint64_t slot;
	if (!str_starts(alias, before))
		return false;
	alias += strlen(before);
	size_t n = strspn(alias, "0123456789");
	if (!n || n >= sizeof(digits) || !str_starts(alias + n, after))
		return false;
	memcpy(digits, alias, n);
	digits[n] = 0;
	if (!str_u64(digits, UPLINK_SLOTS - 1, &slot))
		return false;
	const char *opened = alias + n + strlen(after);
	*ret_slot = (unsigned)slot;
	*ret_opened4 = strchr(opened, '4');
	*ret_opened6 = strchr(opened, '6');
	return true;
}

/* Where forwarding was off before, it stays off for all but Ward's own packets. */
static int keep_closed(struct buf *b, const char *proto, const char (*out)[IFNAMSIZ], size_t n)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = buf_printf(b,
		    "		meta nfproto %s iifname \"%s\" oifname != \"" UPLINK_HOST_PREFIX
		    "*\" counter name not_ours drop\n",
		    proto, out[i]);
	return r;
}

int uplink_format_rules(struct buf *b, const struct uplink *u)
{
	char in4[INET_ADDRSTRLEN], in6[INET6_ADDRSTRLEN];
	struct in6_addr six = uplink_ipv6(u->slot, true);
	ipv4_format(in4, uplink_ipv4(u->slot, true));
	ipv6_format(in6, &six);
	int r = buf_printf(b,
	    "table inet uplink-%s { }\ndelete table inet uplink-%s\ntable inet uplink-%s {\n"
	    "	counter to_host { }\n"     /* machines that tried the host's own services */
	    "	counter to_machines { }\n" /* from outside or the host to the machines, belonging to
					      nothing */
	    "	counter forged { }\n"      /* out of the uplink with a source that is not its own */
	    "	counter not_ours { }\n"    /* what this host forwarded only because Ward turned
					      forwarding on */
	    "	chain input {\n"
	    "		type filter hook input priority filter - 10; policy accept;\n"
	    "		iifname != \"%s\" accept\n"
	    "		ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } "
	    "accept\n"
	    "		counter name to_host drop\n"
	    "	}\n"
	    "	chain output {\n"
	    "		type filter hook output priority filter - 10; policy accept;\n"
	    "		oifname != \"%s\" accept\n"
	    "		ct state established,related accept\n"
	    "		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n"
	    "		counter name to_machines drop\n"
	    "	}\n"
	    "	chain outwards {\n"
	    "		type nat hook postrouting priority srcnat; policy accept;\n"
	    "		ip saddr %s oifname != \"%s\" masquerade\n"
	    "		ip6 saddr %s oifname != \"%s\" masquerade\n"
	    "	}\n"
	    "	chain forward {\n"
	    "		type filter hook forward priority filter - 10; policy accept;\n"
	    "		oifname \"%s\" ct state established,related accept\n"
	    "		oifname \"%s\" counter name to_machines drop\n"
	    "		iifname \"%s\" oifname \"" UPLINK_HOST_PREFIX
	    "*\" counter name to_machines drop\n"
	    "		iifname \"%s\" ip saddr %s accept\n"
	    "		iifname \"%s\" ip6 saddr %s accept\n"
	    "		iifname \"%s\" counter name forged drop\n",
	    u->instance, u->instance, u->instance, u->link, u->link, in4, u->link, in6, u->link,
	    u->link, u->link, u->link, u->link, in4, u->link, in6, u->link);
	if (r == 0 && u->opened4)
		r = keep_closed(b, "ipv4", u->out4, u->outs4);
	if (r == 0 && u->opened6)
		r = keep_closed(b, "ipv6", u->out6, u->outs6);
	return r == 0 ? buf_add_str(b, "	}\n}\n") : r;
}
