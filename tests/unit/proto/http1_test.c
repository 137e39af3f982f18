#include "../unit.h"
#include "proto/http1.h"
#include <string.h>

#define H "Host: a.example\r\n"

/* Requests, each with the status of its refusal (0: it is good). */
static const struct {
	const char *name, *text;
	int status;
} requests[] = {
	{ "plain", "GET / HTTP/1.1\r\n" H "\r\n", 0 },
	{ "1.0 without host", "GET / HTTP/1.0\r\n\r\n", 0 },
	{ "length", "POST /x HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", 0 },
	{ "chunked", "POST /x HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n", 0 },
	{ "port", "GET / HTTP/1.1\r\nHost: a.example:8443\r\n\r\n", 0 },
	{ "v6 host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0 },
	{ "absolute", "GET http://a.example/b?c HTTP/1.1\r\n" H "\r\n", 0 },
	{ "asterisk", "OPTIONS * HTTP/1.1\r\n" H "\r\n", 0 },
	{ "no blank after colon", "GET / HTTP/1.1\r\nHost:a.example\r\n\r\n", 0 },
	{ "obs-text", "GET / HTTP/1.1\r\n" H "X: \xc3\xa9\r\n\r\n", 0 },
	{ "empty value", "GET / HTTP/1.1\r\n" H "X:\r\n\r\n", 0 },

	{ "both framings",
	    "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	    400 },
	{ "two lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
	    400 },
	{ "list of lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n", 400 },
	{ "signed length", "POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n", 400 },
	{ "negative length", "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 400 },
	{ "hex length", "POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n", 400 },
	{ "underscored length", "POST / HTTP/1.1\r\n" H "Content-Length: 1_0\r\n\r\n", 400 },
	{ "empty length", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400 },
	{ "huge length", "POST / HTTP/1.1\r\n" H "Content-Length: 9999999999999999999\r\n\r\n",
	    400 },
	{ "folded", "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 400 },
	{ "folded first", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400 },
	{ "tab before first header", "GET / HTTP/1.1\r\n\tContent-Length: 1\r\n" H "\r\n", 400 },
	{ "bare lf", "GET / HTTP/1.1\nHost: a\n\n", 400 },
	{ "bare lf in a value", "GET / HTTP/1.1\r\n" H "X: a\nY: b\r\n\r\n", 400 },
	{ "bare cr in a value", "GET / HTTP/1.1\r\n" H "X: a\rY: b\r\n\r\n", 400 },
	{ "cr cr lf", "GET / HTTP/1.1\r\n" H "X: a\r\r\n\r\n", 400 },
	{ "blank before colon", "GET / HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\n", 400 },
	{ "tab before colon", "GET / HTTP/1.1\r\n" H "Content-Length\t: 5\r\n\r\n", 400 },
	{ "empty name", "GET / HTTP/1.1\r\n" H ": x\r\n\r\n", 400 },
	{ "no colon", "GET / HTTP/1.1\r\n" H "X\r\n\r\n", 400 },
	{ "high byte in a name", "GET / HTTP/1.1\r\n" H "X\xff: a\r\n\r\n", 400 },
	{ "bracket in a name", "GET / HTTP/1.1\r\n" H "X(: a\r\n\r\n", 400 },
	{ "control in a value", "GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", 400 },
	{ "DEL in a value", "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n", 400 },
	{ "identity", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", 501 },
	{ "gzip, chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n",
	    501 },
	{ "chunked twice", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n",
	    501 },
	{ "two codings",
	    "POST / HTTP/1.1\r\n" H
	    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	    400 },
	{ "vertical tab in coding",
	    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
	    "chunked\r\n\r\n",
	    400 },
	{ "empty coding", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", 501 },
	{ "coding in 1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400 },
	{ "no host", "GET / HTTP/1.1\r\n\r\n", 400 },
	{ "two hosts", "GET / HTTP/1.1\r\n" H H "\r\n", 400 },
	{ "empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400 },
	{ "host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400 },
	{ "host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400 },
	{ "host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
	{ "host port empty", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", 400 },
	{ "host port 0", "GET / HTTP/1.1\r\nHost: a:0\r\n\r\n", 400 },
	{ "host port large", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400 },
	{ "host brackets", "GET / HTTP/1.1\r\nHost: [a\r\n\r\n", 400 },
	{ "absolute mismatch", "GET http://b.example/ HTTP/1.1\r\n" H "\r\n", 400 },
	{ "absolute user", "GET http://u@a.example/ HTTP/1.1\r\n" H "\r\n", 400 },
	{ "absolute without path", "GET http://a.example HTTP/1.1\r\n" H "\r\n", 400 },
	{ "absolute ftp", "GET ftp://a.example/ HTTP/1.1\r\n" H "\r\n", 400 },
	{ "relative", "GET x HTTP/1.1\r\n" H "\r\n", 400 },
	{ "asterisk GET", "GET * HTTP/1.1\r\n" H "\r\n", 400 },
	{ "connect", "CONNECT a.example:443 HTTP/1.1\r\n" H "\r\n", 501 },
	{ "two blanks", "GET  / HTTP/1.1\r\n" H "\r\n", 400 },
	{ "blank at end", "GET / HTTP/1.1 \r\n" H "\r\n", 400 },
	{ "tab in start line", "GET\t/ HTTP/1.1\r\n" H "\r\n", 400 },
	{ "no version", "GET /\r\n" H "\r\n", 400 },
	{ "0.9", "GET / HTTP/0.9\r\n" H "\r\n", 505 },
	{ "1.2", "GET / HTTP/1.2\r\n" H "\r\n", 505 },
	{ "2.0", "GET / HTTP/2.0\r\n" H "\r\n", 505 },
	{ "long version", "GET / HTTP/1.10\r\n" H "\r\n", 400 },
	{ "lower version", "GET / http/1.1\r\n" H "\r\n", 400 },
	{ "method token", "GE(T / HTTP/1.1\r\n" H "\r\n", 400 },
	{ "empty line first", "\r\nGET / HTTP/1.1\r\n" H "\r\n", 400 },
	{ "high byte in target", "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", 400 },
	{ "fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", 400 },
	{ "expect other", "POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 1\r\n\r\n",
	    417 },
	{ "option no token", "GET / HTTP/1.1\r\n" H "Connection: a b\r\n\r\n", 400 },
	{ "two upgrades", "GET / HTTP/1.1\r\n" H "Upgrade: a\r\nUpgrade: b\r\n\r\n", 400 },
};

static int refusal(ssize_t n, const struct err *e)
{
	return n > 0 ? 0 : n == 0 ? -1 : err_code_status(e->code);
}

static void test_requests(void **state)
{
	static struct http1_request q;
	for (size_t i = 0; i < countof(requests); i++) {
		struct err e = { 0 };
		size_t scanned = 0;
		ssize_t n = http1_parse_request(
		    requests[i].text, strlen(requests[i].text), &scanned, &q, &e);
		if (refusal(n, &e) != requests[i].status)
			fail_msg("%s: expected %d, got %d (%s)", requests[i].name,
			    requests[i].status, refusal(n, &e), e.text);
		if (n > 0)
			assert_int_equal(n, strlen(requests[i].text));
	}
}

/* Byte by byte, with the memory of where the search stood, comes to the same end. */
static void test_trickle(void **state)
{
	static struct http1_request q;
	for (size_t i = 0; i < countof(requests); i++) {
		struct err e = { 0 };
		size_t scanned = 0, len = strlen(requests[i].text);
		ssize_t n = 0;
		for (size_t k = 0; k <= len && n == 0; k++)
			n = http1_parse_request(requests[i].text, k, &scanned, &q, &e);
		if (refusal(n, &e) != requests[i].status)
			fail_msg("%s: expected %d, got %d (%s)", requests[i].name,
			    requests[i].status, refusal(n, &e), e.text);
	}
}

static void test_slices(void **state)
{
	static struct http1_request q;
	struct err e = { 0 };
	const char *text =
	    "PUT http://A.example:81/b?c=d HTTP/1.1\r\nHost: a.EXAMPLE:81\r\nX-One:  v \t\r\n"
	    "Connection: keep-alive, X-One, Host, Fly-Client-IP\r\nFly-Client-IP: 1.2.3.4\r\n"
	    "Expect: 100-Continue\r\nTE: trailers\r\nContent-Length: 7\r\n\r\nbody";
	size_t scanned = 0;
	ssize_t n = http1_parse_request(text, strlen(text), &scanned, &q, &e);
	assert_int_equal(n, strlen(text) - 4);
	assert_true(http1_is(q.path, "/b?c=d") && http1_is(q.host, "a.example") && q.port == 81);
	assert_true(q.idempotent && !q.head && q.expect_continue && q.h.keep_alive);
	assert_int_equal(q.h.framing, HTTP1_LENGTH);
	assert_int_equal(q.h.content_length, 7);
	const struct http1_field *f = http1_find_name(&q.h, "x-one");
	assert_true(f && http1_is(f->value, "v") && f->hop);
	assert_false(http1_find(&q.h, HTTP1_HOST)->hop);
	assert_false(http1_find(&q.h, HTTP1_FLY_CLIENT_IP)->hop);
	assert_true(http1_find(&q.h, HTTP1_TE)->hop);
	assert_null(http1_find(&q.h, HTTP1_UPGRADE));
}

/* The longest name that DNS has; a longer one goes nowhere. */
static void test_long_hosts(void **state)
{
	static struct http1_request q;
	struct err e = { 0 };
	for (int len = HTTP1_HOST_MAX; len <= HTTP1_HOST_MAX + 2; len++) {
		char text[512];
		size_t scanned = 0;
		int n =
		    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %0*d\r\n\r\n", len, 0);
		int expect = len > HTTP1_HOST_MAX ? 400 : 0;
		assert_int_equal(
		    refusal(http1_parse_request(text, (size_t)n, &scanned, &q, &e), &e), expect);
	}
}

static void test_shadows(void **state)
{
	static struct http1_request q;
	struct err e = { 0 };
	const char *text =
	    "GET / HTTP/1.1\r\n" H
	    "Fly_Client-ip: 1.2.3.4\r\nX_FORWARDED_FOR: 1.2.3.4\r\nContent_Length: 9\r\n"
	    "My_Own: 1\r\nFly-Client-IP: 1.2.3.4\r\n_: 1\r\n\r\n";
	static const bool shadow[] = { false, true, true, true, false, false, false };
	size_t scanned = 0;
	assert_true(http1_parse_request(text, strlen(text), &scanned, &q, &e) > 0);
	assert_int_equal(q.h.count, countof(shadow));
	for (size_t i = 0; i < countof(shadow); i++)
		assert_int_equal(http1_is_shadow(&q.h.field[i]), shadow[i]);
}

static void test_persistence(void **state)
{
	static struct http1_request q;
	struct err e = { 0 };
	static const struct {
		const char *text;
		bool keep, upgrade;
	} t[] = {
		{ "GET / HTTP/1.1\r\n" H "\r\n", true, false },
		{ "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", false, false },
		{ "GET / HTTP/1.1\r\n" H "Connection: keep-alive\r\nConnection: Close\r\n\r\n",
		    false, false },
		{ "GET / HTTP/1.0\r\n" H "\r\n", false, false },
		{ "GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n", true, false },
		{ "GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", true,
		    true },
		{ "GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\n\r\n", true, false },
		{ "GET / HTTP/1.0\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", false,
		    false },
	};
	for (size_t i = 0; i < countof(t); i++) {
		size_t scanned = 0;
		assert_true(
		    http1_parse_request(t[i].text, strlen(t[i].text), &scanned, &q, &e) > 0);
		assert_int_equal(q.h.keep_alive, t[i].keep);
		assert_int_equal(q.h.upgrade.len > 0, t[i].upgrade);
	}
}

static void test_bounds(void **state)
{
	static struct http1_request q;
	static char text[HTTP1_HEAD_MAX + 64];
	struct err e = { 0 };
	/* one line that never ends */
	memset(text, 'a', sizeof(text));
	size_t scanned = 0;
	assert_int_equal(http1_parse_request(text, HTTP1_HEAD_MAX - 1, &scanned, &q, &e), 0);
	assert_true(http1_parse_request(text, HTTP1_HEAD_MAX, &scanned, &q, &e) < 0);
	assert_int_equal(err_code_status(e.code), 431);
	/* too long a target */
	size_t n = (size_t)sprintf(text, "GET /");
	memset(text + n, 'x', HTTP1_TARGET_MAX);
	strcpy(text + n + HTTP1_TARGET_MAX, " HTTP/1.1\r\n" H "\r\n");
	scanned = 0;
	assert_true(http1_parse_request(text, strlen(text), &scanned, &q, &e) < 0);
	assert_int_equal(err_code_status(e.code), 414);
	/* one field more than allowed, and exactly as many */
	for (size_t extra = 0; extra < 2; extra++) {
		n = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" H);
		for (size_t i = 0; i < HTTP1_FIELDS_MAX - 1 + extra; i++)
			n += (size_t)sprintf(text + n, "X: y\r\n");
		strcpy(text + n, "\r\n");
		scanned = 0;
		ssize_t r = http1_parse_request(text, n + 2, &scanned, &q, &e);
		assert_int_equal(refusal(r, &e), extra ? 431 : 0);
	}
}

static const struct {
	const char *name, *text;
	bool to_head, good;
	enum http1_framing framing;
	bool keep;
} responses[] = {
	{ "length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false, true, HTTP1_LENGTH,
	    true },
	{ "zero", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, true, HTTP1_NO_BODY,
	    true },
	{ "chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, true,
	    HTTP1_CHUNKED, true },
	{ "until close", "HTTP/1.1 200 OK\r\n\r\n", false, true, HTTP1_UNTIL_CLOSE, false },
	{ "no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, true, HTTP1_NO_BODY,
	    true },
	{ "head", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, true, HTTP1_NO_BODY, true },
	{ "204", "HTTP/1.1 204 No Content\r\n\r\n", false, true, HTTP1_NO_BODY, true },
	{ "304 with length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, true,
	    HTTP1_NO_BODY, true },
	{ "100", "HTTP/1.1 100 Continue\r\n\r\n", false, true, HTTP1_NO_BODY, true },
	{ "1.0", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", false, true, HTTP1_LENGTH, false },
	{ "both", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
	    false, false, 0, false },
	{ "two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", false,
	    false, 0, false },
	{ "status letters", "HTTP/1.1 2x0 OK\r\n\r\n", false, false, 0, false },
	{ "status 099", "HTTP/1.1 099 OK\r\n\r\n", false, false, 0, false },
	{ "four digits", "HTTP/1.1 2000 OK\r\n\r\n", false, false, 0, false },
	{ "control in reason", "HTTP/1.1 200 O\x01K\r\n\r\n", false, false, 0, false },
	{ "blank before colon", "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\n", false, false, 0,
	    false },
	{ "version", "HTTP/2.0 200 OK\r\n\r\n", false, false, 0, false },
	{ "not http", "SSH-2.0-OpenSSH_9\r\n\r\n", false, false, 0, false },
};

static void test_responses(void **state)
{
	static struct http1_response a;
	for (size_t i = 0; i < countof(responses); i++) {
		struct err e = { 0 };
		size_t scanned = 0;
		ssize_t n = http1_parse_response(responses[i].text, strlen(responses[i].text),
		    &scanned, responses[i].to_head, &a, &e);
		if ((n > 0) != responses[i].good)
			fail_msg("%s: expected %d, got %zd (%s)", responses[i].name,
			    responses[i].good, n, e.text);
		if (n <= 0)
			continue;
		if (a.h.framing != responses[i].framing || a.h.keep_alive != responses[i].keep)
			fail_msg("%s: framing %d, keep %d", responses[i].name, a.h.framing,
			    a.h.keep_alive);
	}
}

static const struct {
	const char *text, *body; /* body NULL: refused */
} chunked[] = {
	{ "0\r\n\r\n", "" },
	{ "5\r\nhello\r\n0\r\n\r\n", "hello" },
	{ "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789" },
	{ "0005\r\nhello\r\n0\r\n\r\n", "hello" },
	{ "5;a=b;c=\"d;\\\"\";e\r\nhello\r\n0;x\r\n\r\n", "hello" },
	{ "1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n", "a" },
	{ "0x5\r\nhello\r\n0\r\n\r\n", NULL },
	{ "+5\r\nhello\r\n0\r\n\r\n", NULL },
	{ "-1\r\n", NULL },
	{ " 5\r\nhello\r\n", NULL },
	{ "5 \r\nhello\r\n", NULL },
	{ "0_2\r\n", NULL },
	{ "\r\n", NULL },
	{ ";a\r\n", NULL },
	{ "5\nhello\r\n", NULL },
	{ "5\r\nhello!\r\n", NULL },
	{ "5\r\nhello\n0\r\n\r\n", NULL },
	{ "5\r\nhello\r0\r\n\r\n", NULL },
	{ "5\rXhello", NULL },
	{ "5;\r\nhello", NULL },
	{ "5; a\r\nhello", NULL },
	{ "5;a=\r\nhello", NULL },
	{ "5;a=\"b\nc\"\r\nhello", NULL },
	{ "5;a\nhello", NULL },
	{ "10000000000000000\r\n", NULL },
	{ "0000000000000005\r\n", NULL },
	{ "0\r\nX y\r\n\r\n", NULL },
	{ "0\r\n X: y\r\n\r\n", NULL },
	{ "0\r\nX : y\r\n\r\n", NULL },
	{ "0\r\nX: y\n\r\n", NULL },
	{ "0\r\n\rX", NULL },
};

/* Feeds text in pieces of at most `step` bytes; the body's length or -1. */
static int decode(const char *text, size_t len, size_t step, char *body, size_t *ret_used)
{
	struct http1_chunks c = { 0 };
	struct err e;
	size_t at = 0, to = 0, n = 0;
	for (;;) {
		size_t used;
		struct bytes d;
		int r = http1_chunks_next(&c, text + at, to - at, &used, &d, &e);
		if (r < 0)
			return -1;
		at += used;
		if (r == HTTP1_CHUNK_DATA) {
			memcpy(body + n, d.base, d.len);
			n += d.len;
		} else if (r == HTTP1_CHUNK_END) {
			*ret_used = at;
			return (int)n;
		} else if (to == len)
			return -2;
		else
			to = MIN(len, to + step);
	}
}

static void test_chunks(void **state)
{
	for (size_t i = 0; i < countof(chunked); i++)
		for (size_t step = 1; step < 40; step += 3) {
			char body[64], text[128];
			/* what follows the body must be left alone */
			int len = snprintf(text, sizeof(text), "%s%s", chunked[i].text,
			    chunked[i].body ? "GET" : "");
			size_t used = 0;
			int n = decode(text, (size_t)len, step, body, &used);
			if (!chunked[i].body) {
				if (n != -1)
					fail_msg("accepted (%d): %s", n, chunked[i].text);
				continue;
			}
			if (n != (int)strlen(chunked[i].body) ||
			    memcmp(body, chunked[i].body, (size_t)n) != 0)
				fail_msg("expected %s, got %d bytes at step %zu", chunked[i].body,
				    n, step);
			assert_int_equal(used, strlen(chunked[i].text));
		}
}

static void test_writer(void **state)
{
	char room[256];
	struct http1_out o = { .base = room, .cap = sizeof(room) };
	http1_put_status_line(&o, 404, (struct bytes){ 0 });
	http1_put_field_text(&o, "Ward-Error", "unknown-host");
	http1_put_field_u64(&o, "Content-Length", 120);
	http1_put_end(&o);
	assert_false(o.overflow);
	static const char *expect =
	    "HTTP/1.1 404 Not Found\r\nWard-Error: unknown-host\r\nContent-Length: 120\r\n\r\n";
	assert_int_equal(o.len, strlen(expect));
	assert_memory_equal(room, expect, o.len);
	http1_put_field_text(&o, "X", "a\r\nb");
	assert_true(o.overflow);
	o = (struct http1_out){ .base = room, .cap = 10 };
	http1_put_text(&o, "0123456789");
	assert_false(o.overflow);
	http1_put_text(&o, "0");
	assert_true(o.overflow && o.len == 10);
	char head[HTTP1_CHUNK_HEAD_MAX];
	assert_int_equal(http1_chunk_head(head, UINT64_MAX), 18);
	assert_int_equal(http1_chunk_head(head, 0x1a0), 5);
	assert_memory_equal(head, "1a0\r\n", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_trickle),
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_long_hosts),
		cmocka_unit_test(test_shadows),
		cmocka_unit_test(test_persistence),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_writer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
