/* The machines' way out: a veth pair between the host's network namespace and the machines', with
 * NAT on the host's side and no way to the host itself. */
#pragma once
#include "base/buf.h"
#include "base/daemon.h"
#include <net/if.h>
#include <netinet/in.h>

#define UPLINK_HOST_PREFIX "wu-" /* and the instance's name: the host's end */

enum { UPLINK_SLOTS = 1024, UPLINK_DEFAULTS_MAX = 8 };

/* Everything the host's rules depend on. */
struct uplink {
	char instance[sizeof((struct places){ 0 }.instance)];
	char link[IFNAMSIZ]; /* "wu-<instance>" */
	unsigned slot;       /* 169.254.240.0 + 4 * slot, a /30; fd57:6172:6400:<slot>::, a /126 */
	bool opened4, opened6; /* forwarding was off on this host before Ward: nothing but Ward's
				  packets may be forwarded */
	uint32_t mtu;
	char out4[UPLINK_DEFAULTS_MAX][IFNAMSIZ],
	    out6[UPLINK_DEFAULTS_MAX][IFNAMSIZ]; /* where default routes lead */
	size_t outs4, outs6;
};

uint32_t uplink_ipv4(unsigned slot, bool inside); /* host byte order; inside: the machines' end */
struct in6_addr uplink_ipv6(unsigned slot, bool inside);

int uplink_format_rules(struct buf *b, const struct uplink *u) must_check; /* nftables text, pure */

/* What the link's alias keeps between two runs: slot and opened. */
void uplink_alias_format(char *dst, size_t size, const struct uplink *u);
bool uplink_alias_parse(
    const char *alias, unsigned *ret_slot, bool *ret_opened4, bool *ret_opened6);

int uplink_up(const char *instance, const char *netns, struct err *e) must_check;
int uplink_down(const char *instance, struct err *e) must_check;
