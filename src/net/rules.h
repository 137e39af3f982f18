/* The machines' firewall as nftables text. Pure: tests read it, src/net/nft.c applies it.
 *
 * Everything is dropped, and counted by reason, but for what is written here. A tap without
 * elements in the sets is closed. */
#pragma once
#include "base/buf.h"
#include "net/tap.h"
#include <sys/types.h>

#define UPLINK_INSIDE "uplink" /* the uplink's end in the machines' namespace */

struct rules {
	const char
	    *instance; /* its table is "net-<instance>": a bare name could be an nftables keyword */
	struct net_plan plan;
	uid_t edge, dns; /* who may open connections to machines; who may ask upstream resolvers */
};

/* The whole table, in place of the one there may be. */
int rules_format_table(struct buf *b, const struct rules *r) must_check;

/* The sets' elements for exactly these taps; the rest of the table, and its counters, stay. */
int rules_format_taps(
    struct buf *b, const struct rules *r, const struct tap *taps, size_t n) must_check;

/* One tap more, or one less; refused by nftables when the sets are not as thought. */
int rules_format_change(
    struct buf *b, const struct rules *r, const struct tap *t, bool add) must_check;

/* Takes away the count of connections of a machine that is gone; refused by nftables when it never
 * had one. */
int rules_format_forget(struct buf *b, const struct rules *r, const char *machine) must_check;
