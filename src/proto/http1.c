#include "proto/http1.h"
#include "proto/http1_chars.h"
#include <string.h>
#include <strings.h>

static const struct {
	const char *text;
	size_t len;
} names[HTTP1_NAME_MAX_ID] = {
#define X(id, text) [id] = { text, sizeof(text) - 1 },
	HTTP1_NAMES(X)
#undef X
};

const char *http1_name_text(enum http1_name id)
{
	return id > HTTP1_OTHER && id < HTTP1_NAME_MAX_ID ? names[id].text : "";
}

bool http1_is(struct bytes b, const char *text)
{
	return b.len == strlen(text) && !strncasecmp(b.base, text, b.len);
}

static uint8_t name_id(const char *p, size_t n)
{
	for (unsigned i = 1; i < HTTP1_NAME_MAX_ID; i++)
		if (names[i].len == n && (names[i].text[0] | 0x20) == (p[0] | 0x20) &&
		    !strncasecmp(names[i].text, p, n))
			return (uint8_t)i;
	return HTTP1_OTHER;
}

bool http1_is_shadow(const struct http1_field *f)
{
	char plain[HTTP1_NAME_MAX];
	if (f->id != HTTP1_OTHER || f->name.len > sizeof(plain) ||
	    !memchr(f->name.base, '_', f->name.len))
		return false;
	for (size_t i = 0; i < f->name.len; i++) {
		char c = ((const char *)f->name.base)[i];
		plain[i] = c == '_' ? '-' : c;
	}
	return name_id(plain, f->name.len) != HTTP1_OTHER;
}

const struct http1_field *http1_find(const struct http1_fields *h, enum http1_name id)
{
	for (size_t i = 0; i < h->count; i++)
		if (h->field[i].id == id)
			return &h->field[i];
	return NULL;
}

const struct http1_field *http1_find_name(const struct http1_fields *h, const char *name)
{
	for (size_t i = 0; i < h->count; i++)
		if (http1_is(h->field[i].name, name))
			return &h->field[i];
	return NULL;
}

/* Finds the empty line that ends the head, line by line: each line ends with CR LF, and an LF
 * without CR is refused as soon as it is seen. Only the first HTTP1_HEAD_MAX bytes are ever looked
 * at, so every way of splitting the input comes to the same end. */
static ssize_t scan(const char *p, size_t len, size_t *scanned, struct err *e)
{
	size_t limit = MIN(len, (size_t)HTTP1_HEAD_MAX), line = *scanned;
	while (line < limit) {
		const char *lf = memchr(p + line, '\n', limit - line);
		if (!lf)
			break;
		size_t at = (size_t)(lf - p);
		if (at == 0 || p[at - 1] != '\r')
			return err_set(e, ERR_PROTOCOL,
			    "a line of the head ends with LF alone at byte %zu", at);
		if (at - line == 1)
			return line == 0 ? err_set(e, ERR_PROTOCOL,
					       "an empty line where the start line belongs")
					 : (ssize_t)at + 1;
		line = at + 1;
		*scanned = line;
	}
	if (len >= HTTP1_HEAD_MAX)
		return err_set(
		    e, ERR_HEAD_TOO_LARGE, "the head is longer than %d bytes", HTTP1_HEAD_MAX);
	return 0;
}

/* The line at *at without its CR LF; the scan has proved that there is one. */
static struct bytes next_line(const char *p, size_t end, size_t *at)
{
	const char *lf = memchr(p + *at, '\n', end - *at);
	struct bytes line = { p + *at, lf ? (size_t)(lf - (p + *at)) - 1 : 0 };
	*at += line.len + 2;
	return line;
}

static int parse_field(struct bytes line, struct http1_field *ret, struct err *e)
{
	const char *p = line.base;
	if (p[0] == ' ' || p[0] == '\t')
		return err_set(e, ERR_PROTOCOL, "a folded header line");
	size_t n = 0;
	while (n < line.len && http1_is_token(p[n]))
		n++;
	if (n == 0 || n == line.len || p[n] != ':')
		return err_set(e, ERR_PROTOCOL,
		    "a header line whose name is not a token followed by a colon (byte %zu of the "
		    "line)",
		    n);
	if (n > HTTP1_NAME_MAX)
		return err_set(
		    e, ERR_HEAD_TOO_LARGE, "a header name is longer than %d bytes", HTTP1_NAME_MAX);
	size_t from = n + 1, to = line.len;
	while (from < to && http1_is_blank(p[from]))
		from++;
	while (to > from && http1_is_blank(p[to - 1]))
		to--;
	for (size_t i = from; i < to; i++)
		if (!http1_is_value(p[i]))
			return err_set(
			    e, ERR_PROTOCOL, "a control character in the value of %.*s", (int)n, p);
	*ret = (struct http1_field){
		.name = { p, n }, .value = { p + from, to - from }, .id = name_id(p, n)
	};
	return 0;
}

static int parse_length(struct http1_fields *h, struct bytes v, struct err *e)
{
	if (h->has_length)
		return err_set(e, ERR_PROTOCOL, "more than one Content-Length");
	const char *p = v.base;
	uint64_t n = 0;
	if (v.len == 0 || v.len > 18)
		return err_set(e, ERR_PROTOCOL, "a Content-Length that is not 1 to 18 digits");
	for (size_t i = 0; i < v.len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return err_set(
			    e, ERR_PROTOCOL, "a Content-Length that is not a plain number");
		n = n * 10 + (uint64_t)(p[i] - '0');
	}
	h->has_length = true;
	h->content_length = n;
	return 0;
}

/* Takes the next element of a comma-separated list of tokens; false at the end. Empty elements are
 * skipped (RFC 9110 5.6.1). */
static bool next_option(struct bytes *list, struct bytes *ret)
{
	const char *p = list->base, *end = p + list->len;
	while (p < end && (*p == ',' || http1_is_blank(*p)))
		p++;
	const char *from = p;
	while (p < end && *p != ',')
		p++;
	const char *to = p;
	while (to > from && http1_is_blank(to[-1]))
		to--;
	*list = (struct bytes){ p, (size_t)(end - p) };
	*ret = (struct bytes){ from, (size_t)(to - from) };
	return to > from;
}

/* Fields that no Connection option can take away: they decide framing, routing or who the client
 * is. */
static bool end_to_end(uint8_t id)
{
	return id == HTTP1_HOST || id == HTTP1_CONTENT_LENGTH || id == HTTP1_AUTHORIZATION ||
	       id == HTTP1_CONTENT_TYPE || id >= HTTP1_VIA;
}

static void mark_named(struct http1_fields *h, struct bytes option)
{
	for (size_t i = 0; i < h->count; i++) {
		struct http1_field *f = &h->field[i];
		if (f->name.len == option.len &&
		    !strncasecmp(f->name.base, option.base, option.len) && !end_to_end(f->id))
			f->hop = true;
	}
}

static int parse_connection(struct http1_fields *h, struct bytes list, unsigned *options,
    bool *close, bool *keep, bool *upgrade, struct err *e)
{
	struct bytes o;
	while (next_option(&list, &o)) {
		if (++*options > HTTP1_OPTIONS_MAX)
			return err_set(e, ERR_PROTOCOL, "more than %d options in Connection",
			    HTTP1_OPTIONS_MAX);
		for (size_t i = 0; i < o.len; i++)
			if (!http1_is_token(((const char *)o.base)[i]))
				return err_set(
				    e, ERR_PROTOCOL, "an option in Connection is not a token");
		if (http1_is(o, "close"))
			*close = true;
		else if (http1_is(o, "keep-alive"))
			*keep = true;
		else if (http1_is(o, "upgrade"))
			*upgrade = true;
		else
			mark_named(h, o);
	}
	return 0;
}

/* What the fields mean together: framing, persistence, what is for this hop alone. */
static int understand(struct http1_fields *h, struct err *e)
{
	unsigned options = 0;
	bool close = false, keep = false, upgrade = false, chunked = false;
	struct bytes upgrade_to = { 0 };
	for (size_t i = 0; i < h->count; i++) {
		struct http1_field *f = &h->field[i];
		int r = 0;
		switch (f->id) {
		case HTTP1_CONTENT_LENGTH: r = parse_length(h, f->value, e); break;
		case HTTP1_TRANSFER_ENCODING:
			f->hop = true;
			if (chunked)
				return err_set(e, ERR_PROTOCOL, "more than one Transfer-Encoding");
			if (!http1_is(f->value, "chunked"))
				return err_set(
				    e, ERR_CODING, "a Transfer-Encoding other than \"chunked\"");
			chunked = true;
			break;
		case HTTP1_CONNECTION:
			f->hop = true;
			r = parse_connection(h, f->value, &options, &close, &keep, &upgrade, e);
			break;
		case HTTP1_UPGRADE:
			f->hop = true;
			if (upgrade_to.len)
				return err_set(e, ERR_PROTOCOL, "more than one Upgrade");
			upgrade_to = f->value;
			break;
		case HTTP1_KEEP_ALIVE:
		case HTTP1_PROXY_CONNECTION:
		case HTTP1_TE:
		case HTTP1_TRAILER: f->hop = true; break;
		default: break;
		}
		if (r < 0)
			return r;
	}
	if (chunked && h->has_length)
		return err_set(e, ERR_PROTOCOL, "both Content-Length and Transfer-Encoding");
	if (chunked && h->minor == 0)
		return err_set(e, ERR_PROTOCOL, "a Transfer-Encoding in HTTP/1.0");
	h->framing = chunked                              ? HTTP1_CHUNKED
		     : h->has_length && h->content_length ? HTTP1_LENGTH
							  : HTTP1_NO_BODY;
	h->keep_alive = !close && (h->minor == 1 || keep);
	if (upgrade && h->minor == 1)
		h->upgrade = upgrade_to;
	return 0;
}

static int parse_fields(const char *p, size_t end, size_t at, struct http1_fields *h, struct err *e)
{
	while (at + 2 < end) {
		struct bytes line = next_line(p, end, &at);
		if (h->count == HTTP1_FIELDS_MAX)
			return err_set(
			    e, ERR_HEAD_TOO_LARGE, "more than %d header lines", HTTP1_FIELDS_MAX);
		int r = parse_field(line, &h->field[h->count], e);
		if (r < 0)
			return r;
		h->count++;
	}
	return understand(h, e);
}

static int parse_version(struct bytes v, uint8_t *ret_minor, struct err *e)
{
	const char *p = v.base;
	if (v.len != 8 || memcmp(p, "HTTP/", 5) != 0 || p[5] < '0' || p[5] > '9' || p[6] != '.' ||
	    p[7] < '0' || p[7] > '9')
		return err_set(e, ERR_PROTOCOL, "the start line does not name HTTP/1.1");
	if (p[5] != '1' || p[7] > '1')
		return err_set(e, ERR_HTTP_VERSION, "HTTP/%c.%c is not spoken here", p[5], p[7]);
	*ret_minor = (uint8_t)(p[7] - '0');
	return 0;
}

/* uri-host [":" port]: a name, an IPv4 address, or an IPv6 address in brackets. */
static int parse_authority(
    struct bytes a, struct bytes *ret_host, uint16_t *ret_port, struct err *e)
{
	const char *p = a.base;
	size_t n = 0;
	if (a.len && p[0] == '[') {
		n = 1;
		while (n < a.len && (http1_is_hex(p[n]) || p[n] == ':' || p[n] == '.'))
			n++;
		if (n < 4 || n == a.len || p[n] != ']')
			return err_set(e, ERR_PROTOCOL, "a host that is no address in brackets");
		n++;
	} else {
		while (n < a.len && http1_is_host(p[n]))
			n++;
	}
	if (n == 0 || n > HTTP1_HOST_MAX)
		return err_set(e, ERR_PROTOCOL, "an empty, too long or invalid host");
	unsigned port = 0;
	if (n < a.len) {
		if (p[n] != ':' || a.len - n < 2 || a.len - n > 6)
			return err_set(e, ERR_PROTOCOL, "a host with an invalid character or port");
		for (size_t i = n + 1; i < a.len; i++) {
			if (p[i] < '0' || p[i] > '9')
				return err_set(
				    e, ERR_PROTOCOL, "a host whose port is not a number");
			port = port * 10 + (unsigned)(p[i] - '0');
		}
		if (port == 0 || port > 65535)
			return err_set(e, ERR_PROTOCOL, "a host whose port is out of range");
	}
	*ret_host = (struct bytes){ p, n };
	*ret_port = (uint16_t)port;
	return 0;
}

/* The target's form decides where the path and, in the absolute form, a second authority stand. */
static int parse_target(struct http1_request *q, struct bytes *ret_authority, struct err *e)
{
	const char *p = q->target.base;
	size_t n = q->target.len;
	if (n > HTTP1_TARGET_MAX)
		return err_set(
		    e, ERR_TARGET_TOO_LONG, "the target is longer than %d bytes", HTTP1_TARGET_MAX);
	for (size_t i = 0; i < n; i++)
		if (!http1_is_target(p[i]))
			return err_set(e, ERR_PROTOCOL,
			    "a character in the target that must be percent-encoded");
	if (http1_is(q->method, "CONNECT"))
		return err_set(e, ERR_METHOD, "CONNECT is not offered here");
	q->path = q->target;
	if (p[0] == '/')
		return 0;
	if (n == 1 && p[0] == '*') {
		return q->method.len == 7 && !memcmp(q->method.base, "OPTIONS", 7)
			   ? 0
			   : err_set(
				 e, ERR_PROTOCOL, "the target * with a method other than OPTIONS");
	}
	size_t scheme = n > 7 && !strncasecmp(p, "http://", 7)    ? 7
			: n > 8 && !strncasecmp(p, "https://", 8) ? 8
								  : 0;
	if (!scheme)
		return err_set(
		    e, ERR_PROTOCOL, "a target that is neither a path nor an http address");
	const char *slash = memchr(p + scheme, '/', n - scheme),
		   *query = memchr(p + scheme, '?', n - scheme);
	if (!slash || (query && query < slash))
		return err_set(e, ERR_PROTOCOL, "an absolute target without a path");
	size_t path = (size_t)(slash - p);
	*ret_authority = (struct bytes){ p + scheme, path - scheme };
	q->path = (struct bytes){ p + path, n - path };
	return 0;
}

static int parse_request_line(struct bytes line, struct http1_request *q, struct err *e)
{
	const char *p = line.base, *end = p + line.len;
	size_t n = 0;
	while (n < line.len && http1_is_token(p[n]))
		n++;
	if (n == 0 || n == line.len || p[n] != ' ')
		return err_set(
		    e, ERR_PROTOCOL, "the request line does not begin with a method and one blank");
	if (n > HTTP1_METHOD_MAX)
		return err_set(
		    e, ERR_METHOD, "the method is longer than %d bytes", HTTP1_METHOD_MAX);
	q->method = (struct bytes){ p, n };
	const char *target = p + n + 1, *blank = memchr(target, ' ', (size_t)(end - target));
	if (!blank || blank == target)
		return err_set(e, ERR_PROTOCOL,
		    "the request line is not method, target and version with one blank between");
	q->target = (struct bytes){ target, (size_t)(blank - target) };
	return parse_version(
	    (struct bytes){ blank + 1, (size_t)(end - blank - 1) }, &q->h.minor, e);
}

static int check_host(struct http1_request *q, struct bytes authority, struct err *e)
{
	const struct http1_field *host = NULL;
	for (size_t i = 0; i < q->h.count; i++) {
		if (q->h.field[i].id != HTTP1_HOST)
			continue;
		if (host)
			return err_set(e, ERR_PROTOCOL, "more than one Host");
		host = &q->h.field[i];
	}
	if (!host)
		return q->h.minor == 0 && !authority.len ? 0 : err_set(e, ERR_PROTOCOL, "no Host");
	int r = parse_authority(host->value, &q->host, &q->port, e);
	if (r < 0)
		return r;
	if (authority.len && (authority.len != host->value.len ||
				 strncasecmp(authority.base, host->value.base, authority.len) != 0))
		return err_set(e, ERR_PROTOCOL, "the target's host is not the one in Host");
	return 0;
}

static int check_expect(struct http1_request *q, struct err *e)
{
	const struct http1_field *f = http1_find(&q->h, HTTP1_EXPECT);
	if (!f)
		return 0;
	if (!http1_is(f->value, "100-continue"))
		return err_set(e, ERR_EXPECT, "an Expect other than 100-continue");
	q->expect_continue = q->h.minor == 1 && q->h.framing != HTTP1_NO_BODY;
	return 0;
}

static bool is_idempotent(struct bytes m)
{
	static const char *const list[] = { "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE" };
	for (size_t i = 0; i < countof(list); i++)
		if (m.len == strlen(list[i]) && !memcmp(m.base, list[i], m.len))
			return true;
	return false;
}

static void clear(struct http1_fields *h)
{
	/* field[] beyond count is never read, so it is not worth clearing on the hot path */
	h->count = 0;
	h->framing = HTTP1_NO_BODY;
	h->content_length = 0;
	h->has_length = h->keep_alive = false;
	h->minor = 0;
	h->upgrade = (struct bytes){ 0 };
}

ssize_t http1_parse_request(
    const void *base, size_t len, size_t *scanned, struct http1_request *ret, struct err *e)
{
	ssize_t end = scan(base, len, scanned, e);
	if (end <= 0)
		return end;
	clear(&ret->h);
	ret->host = (struct bytes){ 0 };
	ret->port = 0;
	ret->expect_continue = false;
	size_t at = 0;
	struct bytes authority = { 0 };
	int r = parse_request_line(next_line(base, (size_t)end, &at), ret, e);
	if (r >= 0)
		r = parse_target(ret, &authority, e);
	if (r >= 0)
		r = parse_fields(base, (size_t)end, at, &ret->h, e);
	if (r >= 0)
		r = check_host(ret, authority, e);
	if (r >= 0)
		r = check_expect(ret, e);
	if (r < 0)
		return r;
	ret->head = ret->method.len == 4 && !memcmp(ret->method.base, "HEAD", 4);
	ret->idempotent = is_idempotent(ret->method);
	return end;
}

static int parse_status_line(struct bytes line, struct http1_response *a, struct err *e)
{
	const char *p = line.base;
	/* "HTTP/1.1 200" with neither blank nor reason has one reading and is sent by real servers
	 */
	if (line.len < 12 || p[8] != ' ' || (line.len > 12 && p[12] != ' '))
		return err_set(
		    e, ERR_PROTOCOL, "the status line is not version, three digits and a reason");
	int r = parse_version((struct bytes){ p, 8 }, &a->h.minor, e);
	if (r < 0)
		return r;
	a->status = 0;
	for (int i = 9; i < 12; i++) {
		if (p[i] < '0' || p[i] > '9')
			return err_set(e, ERR_PROTOCOL, "a status that is not three digits");
		a->status = a->status * 10 + (p[i] - '0');
	}
	if (a->status < 100)
		return err_set(e, ERR_PROTOCOL, "a status below 100");
	a->reason = line.len > 13 ? (struct bytes){ p + 13, line.len - 13 } : (struct bytes){ 0 };
	for (size_t i = 13; i < line.len; i++)
		if (!http1_is_value(p[i]))
			return err_set(e, ERR_PROTOCOL, "a control character in the reason");
	return 0;
}

ssize_t http1_parse_response(const void *base, size_t len, size_t *scanned, bool to_head,
    struct http1_response *ret, struct err *e)
{
	ssize_t end = scan(base, len, scanned, e);
	if (end <= 0)
		return end;
	clear(&ret->h);
	size_t at = 0;
	int r = parse_status_line(next_line(base, (size_t)end, &at), ret, e);
	if (r >= 0)
		r = parse_fields(base, (size_t)end, at, &ret->h, e);
	if (r < 0)
		return r;
	/* RFC 9112 6.3, in its order */
	if (to_head || ret->status < 200 || ret->status == 204 || ret->status == 304)
		ret->h.framing = HTTP1_NO_BODY;
	else if (ret->h.framing == HTTP1_NO_BODY && !ret->h.has_length) {
		ret->h.framing = HTTP1_UNTIL_CLOSE;
		ret->h.keep_alive = false;
	}
	return end;
}
