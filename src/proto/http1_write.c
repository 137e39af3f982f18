#include "proto/http1.h"
#include "proto/http1_chars.h"
#include <string.h>

void http1_put(struct http1_out *o, struct bytes b)
{
	if (o->overflow || b.len > o->cap - o->len) {
		o->overflow = true;
		return;
	}
	if (b.len)
		memcpy(o->base + o->len, b.base, b.len);
	o->len += b.len;
}

void http1_put_text(struct http1_out *o, const char *text)
{
	http1_put(o, (struct bytes){ text, strlen(text) });
}

void http1_put_u64(struct http1_out *o, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);
	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	http1_put(o, (struct bytes){ digits + n, sizeof(digits) - n });
}

void http1_put_request_line(struct http1_out *o, struct bytes method, struct bytes path)
{
	http1_put(o, method);
	http1_put_text(o, " ");
	http1_put(o, path);
	http1_put_text(o, " HTTP/1.1\r\n");
}

void http1_put_status_line(struct http1_out *o, int status, struct bytes reason)
{
	http1_put_text(o, "HTTP/1.1 ");
	http1_put_u64(o, (uint64_t)status);
	http1_put_text(o, " ");
	if (reason.len)
		http1_put(o, reason);
	else
		http1_put_text(o, http1_reason(status));
	http1_put_text(o, "\r\n");
}

void http1_put_field(struct http1_out *o, const char *name, struct bytes value)
{
	for (size_t i = 0; i < value.len; i++)
		if (!http1_is_value(((const char *)value.base)[i]))
			o->overflow = true;
	http1_put_text(o, name);
	http1_put_text(o, ": ");
	http1_put(o, value);
	http1_put_text(o, "\r\n");
}

void http1_put_field_text(struct http1_out *o, const char *name, const char *value)
{
	http1_put_field(o, name, (struct bytes){ value, strlen(value) });
}

void http1_put_field_u64(struct http1_out *o, const char *name, uint64_t value)
{
	http1_put_text(o, name);
	http1_put_text(o, ": ");
	http1_put_u64(o, value);
	http1_put_text(o, "\r\n");
}

void http1_copy_field(struct http1_out *o, const struct http1_field *f)
{
	http1_put(o, f->name);
	http1_put_text(o, ": ");
	http1_put(o, f->value);
	http1_put_text(o, "\r\n");
}

void http1_put_end(struct http1_out *o)
{
	http1_put_text(o, "\r\n");
}

size_t http1_chunk_head(char dst[HTTP1_CHUNK_HEAD_MAX], uint64_t size)
{
	char digits[16];
	size_t n = sizeof(digits);
	do
		digits[--n] = "0123456789abcdef"[size & 15];
	while (size >>= 4);
	size_t count = sizeof(digits) - n;
	memcpy(dst, digits + n, count);
	memcpy(dst + count, "\r\n", 2);
	return count + 2;
}

const char *http1_reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} table[] = {
		{ 100, "Continue" },
		{ 101, "Switching Protocols" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 411, "Length Required" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" },
		{ 425, "Too Early" },
		{ 426, "Upgrade Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};
	for (size_t i = 0; i < countof(table); i++)
		if (table[i].status == status)
			return table[i].text;
	return "";
}
