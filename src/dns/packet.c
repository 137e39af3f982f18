#include "dns/packet.h"
#include "base/str.h"
#include <ldns/ldns.h>

enum { HEADER = 12, TXT_PART = 255 };

/* A question with one name, class IN, opcode QUERY; NULL: not one. *ret_drop: not even worth a
 * "format error". */
static ldns_pkt *parse(const uint8_t *query, size_t len, bool *ret_drop)
{
	ldns_pkt *p = NULL;
	*ret_drop = true;
	if (len < HEADER || len > PACKET_QUERY_MAX ||
	    (query[2] & 0x80)) /* an answer gets no answer */
		return NULL;
	*ret_drop = false;
	if (ldns_wire2pkt(&p, query, len) != LDNS_STATUS_OK)
		return NULL;
	ldns_rr_list *q = ldns_pkt_question(p);
	if (ldns_pkt_get_opcode(p) == LDNS_PACKET_QUERY && ldns_rr_list_rr_count(q) == 1 &&
	    ldns_rr_get_class(ldns_rr_list_rr(q, 0)) == LDNS_RR_CLASS_IN)
		return p;
	ldns_pkt_free(p);
	return NULL;
}

/* The name as text, only if it is made of plain letters; ldns writes others as escapes, which no
 * name of ours has. */
static bool name_of(const ldns_rr *question, char *dst, size_t size)
{
	char *text = ldns_rdf2str(ldns_rr_owner(question));
	size_t n = text ? strlen(text) : 0;
	if (n && text[n - 1] == '.')
		text[n - 1] = 0;
	bool good = n && str_copy(dst, size, text);
	free(text);
	return good;
}

static bool push(ldns_pkt *p, const ldns_rr *question, ldns_rr_type type, ldns_rdf *data)
{
	ldns_rr *rr = ldns_rr_new();
	if (!rr || !data) {
		ldns_rr_free(rr);
		ldns_rdf_deep_free(data);
		return false;
	}
	ldns_rr_set_owner(rr, ldns_rdf_clone(ldns_rr_owner(question)));
	ldns_rr_set_type(rr, type);
	ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
	ldns_rr_set_ttl(rr, PACKET_TTL);
	return ldns_rr_push_rdf(rr, data) && ldns_pkt_push_rr(p, LDNS_SECTION_ANSWER, rr);
}

/* A TXT record is a sequence of strings of at most 255 bytes. */
static bool push_text(ldns_pkt *p, const ldns_rr *question, const struct lookup *l)
{
	ldns_rr *rr = ldns_rr_new_frm_type(LDNS_RR_TYPE_TXT);
	if (!rr)
		return false;
	ldns_rr_set_rd_count(rr, 0);
	ldns_rr_set_owner(rr, ldns_rdf_clone(ldns_rr_owner(question)));
	ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
	ldns_rr_set_ttl(rr, PACKET_TTL);
	for (size_t at = 0; at < l->text_len; at += TXT_PART) {
		uint8_t part[1 + TXT_PART];
		part[0] = (uint8_t)MIN(l->text_len - at, (size_t)TXT_PART);
		memcpy(part + 1, l->text + at, part[0]);
		ldns_rdf *data = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, 1U + part[0], part);
		if (!data || !ldns_rr_push_rdf(rr, data)) {
			ldns_rr_free(rr);
			return false;
		}
	}
	return ldns_pkt_push_rr(p, LDNS_SECTION_ANSWER, rr);
}

static ldns_pkt *begin(const ldns_pkt *query, int rcode)
{
	ldns_pkt *p = ldns_pkt_new();
	if (!p)
		return NULL;
	ldns_pkt_set_id(p, ldns_pkt_id(query));
	ldns_pkt_set_qr(p, true);
	ldns_pkt_set_rd(p, ldns_pkt_rd(query));
	ldns_pkt_set_ra(p, true);
	ldns_pkt_set_opcode(p, LDNS_PACKET_QUERY);
	ldns_pkt_set_rcode(p, (ldns_pkt_rcode)(rcode & 15));
	ldns_rr *q = ldns_rr_clone(ldns_rr_list_rr(ldns_pkt_question(query), 0));
	if (!q || !ldns_pkt_push_rr(p, LDNS_SECTION_QUESTION, q)) {
		ldns_rr_free(q);
		ldns_pkt_free(p);
		return NULL;
	}
	if (ldns_pkt_edns(query))
		ldns_pkt_set_edns_udp_size(p, PACKET_UDP_EDNS);
	return p;
}

static size_t limit_of(const ldns_pkt *query, bool tcp)
{
	if (tcp)
		return PACKET_TCP_MAX;
	size_t said = ldns_pkt_edns(query) ? ldns_pkt_edns_udp_size(query) : 0;
	return MIN(MAX(said, (size_t)PACKET_UDP_PLAIN), (size_t)PACKET_UDP_EDNS);
}

/* Takes answers away until it fits; what is left out is announced by TC, and the asker comes again
 * by TCP. */
static uint8_t *finish(ldns_pkt *p, size_t limit, size_t *ret_len)
{
	uint8_t *wire = NULL;
	size_t n = 0;
	while (p && ldns_pkt2wire(&wire, p, &n) == LDNS_STATUS_OK && n > limit) {
		free(wire);
		wire = NULL;
		ldns_rr *last = ldns_rr_list_pop_rr(ldns_pkt_answer(p));
		if (!last)
			break;
		ldns_rr_free(last);
		ldns_pkt_set_ancount(p, (uint16_t)ldns_rr_list_rr_count(ldns_pkt_answer(p)));
		ldns_pkt_set_tc(p, true);
	}
	ldns_pkt_free(p);
	*ret_len = n;
	return wire;
}

static ldns_pkt *compose(const ldns_pkt *query, const struct lookup *l, unsigned spin)
{
	const ldns_rr *q = ldns_rr_list_rr(ldns_pkt_question(query), 0);
	ldns_rr_type type = ldns_rr_get_type(q);
	ldns_pkt *p =
	    begin(query, l->kind == LOOKUP_FOUND ? LDNS_RCODE_NOERROR : LDNS_RCODE_NXDOMAIN);
	bool good = p;
	if (p)
		ldns_pkt_set_aa(p, true);
	for (size_t i = 0;
	     good && (type == LDNS_RR_TYPE_AAAA || type == LDNS_RR_TYPE_ANY) && i < l->addresses;
	     i++) {
		const struct in6_addr *a = &l->address[(i + spin) % l->addresses];
		good = push(p, q, LDNS_RR_TYPE_AAAA,
		    ldns_rdf_new_frm_data(LDNS_RDF_TYPE_AAAA, sizeof(*a), a));
	}
	if (good && l->text_len && (type == LDNS_RR_TYPE_TXT || type == LDNS_RR_TYPE_ANY))
		good = push_text(p, q, l);
	if (!good) {
		ldns_pkt_free(p);
		return NULL;
	}
	return p;
}

/* Only the header: for what could not be read as a question. */
static uint8_t *format_error(const uint8_t *query, size_t *ret_len)
{
	uint8_t *a = calloc(1, HEADER);
	if (!a)
		return NULL;
	memcpy(a, query, 2);
	a[2] = 0x80 | (query[2] & 0x79); /* a response; opcode and RD as asked */
	a[3] = (query[2] & 0x78) ? LDNS_RCODE_NOTIMPL : LDNS_RCODE_FORMERR;
	*ret_len = HEADER;
	return a;
}

enum packet_verdict packet_answer(const struct names_table *t, uint32_t network, bool tcp,
    unsigned spin, const uint8_t *query, size_t len, uint8_t **ret, size_t *ret_len)
{
	bool drop;
	char name[256];
	uint8_t *wire = NULL;
	ldns_pkt *p = parse(query, len, &drop);
	if (drop)
		return PACKET_DROP;
	if (!p) {
		wire = format_error(query, ret_len);
	} else if (!network ||
		   !name_of(ldns_rr_list_rr(ldns_pkt_question(p), 0), name, sizeof(name))) {
		wire = finish(begin(p, LDNS_RCODE_REFUSED), PACKET_UDP_PLAIN, ret_len);
	} else {
		struct lookup *l = malloc(sizeof(*l));
		if (l)
			lookup_name(l, t, network, name);
		bool ours = l && l->kind != LOOKUP_NOT_OURS;
		if (l && !ours) {
			free(l);
			ldns_pkt_free(p);
			return PACKET_FORWARD;
		}
		if (ours)
			wire = finish(compose(p, l, spin), limit_of(p, tcp), ret_len);
		free(l);
	}
	if (p)
		ldns_pkt_free(p);
	*ret = wire;
	return wire ? PACKET_ANSWERED : PACKET_DROP;
}

uint8_t *packet_refuse(const uint8_t *query, size_t len, int rcode, size_t *ret_len)
{
	bool drop;
	ldns_pkt *p = parse(query, len, &drop);
	uint8_t *wire = p ? finish(begin(p, rcode), PACKET_UDP_PLAIN, ret_len) : NULL;
	if (p)
		ldns_pkt_free(p);
	return wire;
}

/* The question section, which is the same bytes in both: a name without compression, type, class.
 */
static size_t question_len(const uint8_t *p, size_t len)
{
	size_t at = HEADER;
	while (at < len && p[at] && p[at] < 64)
		at += 1U + p[at];
	return at < len && !p[at] && len - at >= 5 ? at + 5 - HEADER : 0;
}

static bool same_question(const uint8_t *a, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t x = a[i], y = b[i];
		/* upstream may answer in another case; lengths are below 64 and unchanged by this
		 */
		x = x >= 'A' && x <= 'Z' ? (uint8_t)(x + 32) : x;
		y = y >= 'A' && y <= 'Z' ? (uint8_t)(y + 32) : y;
		if (x != y)
			return false;
	}
	return true;
}

bool packet_fits(const uint8_t *query, size_t len, const uint8_t *answer, size_t answer_len)
{
	if (len < HEADER || answer_len < HEADER || !(answer[2] & 0x80))
		return false;
	size_t n = question_len(query, len);
	return n && question_len(answer, answer_len) == n &&
	       same_question(query + HEADER, answer + HEADER, n);
}
