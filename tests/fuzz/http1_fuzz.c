/* HTTP/1 heads and chunked bodies: the parse of any split equals the parse of the whole, and what
 * was accepted, written again, is accepted with the same meaning. */
#include "proto/http1.h"
#include <string.h>

static void check(bool ok)
{
	if (!ok)
		abort();
}

static bool same(struct bytes a, struct bytes b)
{
	return a.len == b.len && !memcmp(a.base ? a.base : "", b.base ? b.base : "", a.len);
}

static void heads(const char *p, size_t len, size_t step, bool response)
{
	static struct http1_request q, q2;
	static struct http1_response a, a2;
	struct err e;
	size_t s = 0, s2 = 0;
	ssize_t whole = response ? http1_parse_response(p, len, &s, step & 1, &a, &e)
				 : http1_parse_request(p, len, &s, &q, &e);
	ssize_t split = 0;
	for (size_t to = 0; split == 0; to = MIN(len, to + step)) {
		split = response ? http1_parse_response(p, to, &s2, step & 1, &a2, &e)
				 : http1_parse_request(p, to, &s2, &q2, &e);
		if (to == len)
			break;
	}
	check(split == whole);
	if (whole <= 0)
		return;
	struct http1_fields *h = response ? &a.h : &q.h, *h2 = response ? &a2.h : &q2.h;
	check(h->count == h2->count && h->framing == h2->framing &&
	      h->content_length == h2->content_length);
	check(h->count <= HTTP1_FIELDS_MAX && whole <= HTTP1_HEAD_MAX);

	static char room[2 * HTTP1_HEAD_MAX];
	struct http1_out o = { .base = room, .cap = sizeof(room) };
	if (response)
		http1_put_status_line(&o, a.status, a.reason);
	else
		http1_put_request_line(&o, q.method, q.path);
	for (size_t i = 0; i < h->count; i++)
		http1_copy_field(&o, &h->field[i]);
	http1_put_end(&o);
	check(!o.overflow);
	if (o.len >= HTTP1_HEAD_MAX || h->minor == 0)
		return;
	s = 0;
	ssize_t again = response ? http1_parse_response(room, o.len, &s, step & 1, &a2, &e)
				 : http1_parse_request(room, o.len, &s, &q2, &e);
	check(again == (ssize_t)o.len && h->count == h2->count && h->framing == h2->framing);
	check(h->content_length == h2->content_length && h->keep_alive == h2->keep_alive &&
	      same(h->upgrade, h2->upgrade));
	for (size_t i = 0; i < h->count; i++)
		check(same(h->field[i].name, h2->field[i].name) &&
		      same(h->field[i].value, h2->field[i].value) &&
		      h->field[i].hop == h2->field[i].hop);
	check(response ||
	      (same(q.host, q2.host) && same(q.path, q2.path) && same(q.method, q2.method)));
}

/* A digest of the decoded body, where it ended, or -1 and -2 for refused and unfinished. */
static int64_t decode(const char *p, size_t len, size_t step, uint64_t *ret_digest)
{
	struct http1_chunks c = { 0 };
	struct err e;
	size_t at = 0, to = 0;
	*ret_digest = 0;
	for (;;) {
		size_t used;
		struct bytes d;
		int r = http1_chunks_next(&c, p + at, to - at, &used, &d, &e);
		if (r < 0)
			return -1;
		check(used <= to - at);
		at += used;
		if (r == HTTP1_CHUNK_END)
			return (int64_t)at;
		if (r == HTTP1_CHUNK_MORE) {
			if (to == len)
				return -2;
			to = MIN(len, to + step);
			continue;
		}
		check(d.len > 0);
		for (size_t i = 0; i < d.len; i++)
			*ret_digest = *ret_digest * 31 + ((const unsigned char *)d.base)[i];
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	size_t step = 1 + data[0] % 16;
	const char *p = (const char *)data + 1;
	heads(p, size - 1, step, false);
	heads(p, size - 1, step, true);
	uint64_t one = 0, two = 0;
	check(decode(p, size - 1, size, &one) == decode(p, size - 1, step, &two) && one == two);
	return 0;
}
