/* Heads as they go on: what is for one hop only stays behind, what the edge vouches for is set by
 * the edge alone. */
#include "base/clock.h"
#include "edge/worker.h"
#include <sodium.h>
#include <string.h>

static struct http1_out open_out(struct block *to)
{
	return (struct http1_out){ .base = to->data + to->end, .cap = block_room(to) };
}

static bool close_out(struct block *to, const struct http1_out *o)
{
	if (o->overflow)
		return false;
	to->end += (uint32_t)o->len;
	return true;
}

/* Fields of a request that clients cannot set: the edge's own words about who they are, and those
 * it writes anew. (Their look-alikes with "_" stay behind too.) */
static bool is_ours(uint8_t id)
{
	switch (id) {
	case HTTP1_HOST:
	case HTTP1_CONTENT_LENGTH:
	case HTTP1_EXPECT:
	case HTTP1_VIA:
	case HTTP1_X_FORWARDED_FOR:
	case HTTP1_X_FORWARDED_PROTO:
	case HTTP1_X_FORWARDED_PORT:
	case HTTP1_X_FORWARDED_SSL:
	case HTTP1_FLY_CLIENT_IP:
	case HTTP1_FLY_FORWARDED_PORT:
	case HTTP1_FLY_FORWARDED_PROTO:
	case HTTP1_FLY_FORWARDED_SSL:
	case HTTP1_FLY_REGION:
	case HTTP1_FLY_REQUEST_ID: return true;
	default: return false;
	}
}

/* "old, old, own": what earlier hops said stays. */
static void put_list(
    struct http1_out *o, const struct http1_fields *h, enum http1_name id, const char *own)
{
	http1_put_text(o, http1_name_text(id));
	http1_put_text(o, ": ");
	for (size_t i = 0; i < h->count; i++)
		if (h->field[i].id == id && h->field[i].value.len) {
			http1_put(o, h->field[i].value);
			http1_put_text(o, ", ");
		}
	http1_put_text(o, own);
	http1_put_text(o, "\r\n");
}

static void put_framing(struct http1_out *o, enum http1_framing framing, uint64_t length)
{
	if (framing == HTTP1_CHUNKED)
		http1_put_text(o, "Transfer-Encoding: chunked\r\n");
	else if (framing == HTTP1_LENGTH)
		http1_put_field_u64(o, "Content-Length", length);
}

bool forward_request(struct client *c, const struct http1_request *q, struct block *to)
{
	struct http1_out o = open_out(to);
	char port[8];
	snprintf(port, sizeof(port), "%u", c->from->port);
	http1_put_request_line(&o, q->method, q->path);
	const struct http1_field *host = http1_find(&q->h, HTTP1_HOST);
	if (host)
		http1_put_field(&o, "Host", host->value);
	for (size_t i = 0; i < q->h.count; i++)
		if (!q->h.field[i].hop && !is_ours(q->h.field[i].id) &&
		    !http1_is_shadow(&q->h.field[i]))
			http1_copy_field(&o, &q->h.field[i]);
	if (q->h.framing == HTTP1_NO_BODY && q->h.has_length)
		http1_put_text(&o, "Content-Length: 0\r\n");
	else
		put_framing(&o, q->h.framing, q->h.content_length);
	if (c->x.upgrade) {
		http1_put_field(&o, "Upgrade", q->h.upgrade);
		http1_put_text(&o, "Connection: Upgrade\r\n");
	}
	put_list(&o, &q->h, HTTP1_X_FORWARDED_FOR, c->ip);
	http1_put_text(&o,
	    c->ssl
		? "X-Forwarded-Proto: https\r\nX-Forwarded-SSL: on\r\nFly-Forwarded-Proto: "
		  "https\r\n"
		  "Fly-Forwarded-SSL: on\r\nX-Forwarded-Port: "
		: "X-Forwarded-Proto: http\r\nX-Forwarded-SSL: off\r\nFly-Forwarded-Proto: http\r\n"
		  "Fly-Forwarded-SSL: off\r\nX-Forwarded-Port: ");
	http1_put_text(&o, port);
	http1_put_text(&o, "\r\nFly-Forwarded-Port: ");
	http1_put_text(&o, port);
	http1_put_text(&o, "\r\nFly-Client-IP: ");
	http1_put_text(&o, c->ip);
	http1_put_text(&o, "\r\nFly-Region: ");
	http1_put_text(&o, c->w->args->region);
	http1_put_text(&o, "\r\nFly-Request-Id: ");
	http1_put_text(&o, c->x.id);
	http1_put_text(&o, "\r\n");
	put_list(&o, &q->h, HTTP1_VIA, q->h.minor ? "1.1 ward" : "1.0 ward");
	http1_put_end(&o);
	return close_out(to, &o);
}

bool forward_response(struct client *c, const struct http1_response *a, struct block *to)
{
	struct exchange *x = &c->x;
	struct http1_out o = open_out(to);
	bool final = a->status >= 200;
	http1_put_status_line(&o, a->status, a->reason);
	for (size_t i = 0; i < a->h.count; i++) {
		const struct http1_field *f = &a->h.field[i];
		if (!f->hop && f->id != HTTP1_CONTENT_LENGTH && f->id != HTTP1_VIA &&
		    f->id != HTTP1_FLY_REQUEST_ID && f->id != HTTP1_WARD_ERROR)
			http1_copy_field(&o, f);
	}
	if (a->status == 101) {
		http1_put_field(&o, "Upgrade", a->h.upgrade);
		http1_put_text(&o, "Connection: Upgrade\r\n");
	} else if (final) {
		if (x->resp_chunked)
			http1_put_text(&o, "Transfer-Encoding: chunked\r\n");
		else if (a->h.has_length && a->status != 204)
			http1_put_field_u64(&o, "Content-Length", a->h.content_length);
		if (!x->keep_alive)
			http1_put_text(&o, "Connection: close\r\n");
		else if (x->minor == 0)
			http1_put_text(&o, "Connection: keep-alive\r\n");
	}
	put_list(&o, &a->h, HTTP1_VIA, "1.1 ward");
	http1_put_field_text(&o, "Fly-Request-Id", x->id);
	http1_put_end(&o);
	return close_out(to, &o);
}

/* A ULID and the region. The random half is drawn from a buffer: one system call for 51 requests.
 */
void request_id_make(struct worker *w, char id[REQUEST_ID_LEN])
{
	static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	if (w->random_left < 10) {
		randombytes_buf(w->random, sizeof(w->random));
		w->random_left = sizeof(w->random);
	}
	const uint8_t *r = w->random + (w->random_left -= 10);
	uint64_t ms = clock_wall_ms();
	for (int i = 9; i >= 0; i--, ms >>= 5)
		id[i] = crockford[ms & 31];
	uint64_t bits = 0;
	unsigned have = 0;
	for (int i = 10; i < 26; i++) {
		while (have < 5) {
			bits = bits << 8 | *r++;
			have += 8;
		}
		have -= 5;
		id[i] = crockford[bits >> have & 31];
	}
	snprintf(id + 26, REQUEST_ID_LEN - 26, "-%.12s", w->args->region);
}
