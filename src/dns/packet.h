/* DNS messages: a question in, an answer out, by ldns. */
#pragma once
#include "dns/lookup.h"

enum {
	PACKET_QUERY_MAX = 4096,
	PACKET_UDP_PLAIN = 512, /* without EDNS, RFC 1035 section 4.2.1 */
	PACKET_UDP_EDNS = 1232, /* never fragmented over IPv6 */
	PACKET_TCP_MAX = 65535,
	PACKET_TTL = 5,
};

enum packet_verdict {
	PACKET_DROP,     /* not a question: no answer */
	PACKET_ANSWERED, /* *ret is the answer */
	PACKET_FORWARD,  /* a sound question that is not ours: send the very bytes upstream */
};

/* network 0: an asker that is no machine; refused. tcp: no limit but TCP's own. *ret is allocated;
 * the caller frees. spin: any number; addresses begin at another one for each, so that clients that
 * take the first spread. */
enum packet_verdict packet_answer(const struct names_table *t, uint32_t network, bool tcp,
    unsigned spin, const uint8_t *query, size_t len, uint8_t **ret, size_t *ret_len);

/* An answer without content, such as SERVFAIL or REFUSED, to a query that packet_answer called
 * sound. NULL: no memory. */
uint8_t *packet_refuse(const uint8_t *query, size_t len, int rcode, size_t *ret_len);

/* An answer from upstream is to this query: same question, a response. Neither id is looked at. */
bool packet_fits(const uint8_t *query, size_t len, const uint8_t *answer, size_t answer_len);
