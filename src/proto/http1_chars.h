/* The character classes of HTTP/1 (RFC 9110 section 5.6.2, RFC 3986), for the parsers and writers
 * in this folder alone. */
#pragma once
#include <stdbool.h>

static inline bool http1_is_alnum(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static inline bool http1_is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static inline bool http1_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool http1_is_token(char c)
{
	static const bool mark[128] = { ['!'] = 1,
		['#'] = 1,
		['$'] = 1,
		['%'] = 1,
		['&'] = 1,
		['\''] = 1,
		['*'] = 1,
		['+'] = 1,
		['-'] = 1,
		['.'] = 1,
		['^'] = 1,
		['_'] = 1,
		['`'] = 1,
		['|'] = 1,
		['~'] = 1 };
	return http1_is_alnum(c) || ((unsigned char)c < 128 && mark[(unsigned char)c]);
}

/* field-vchar, blank or obs-text: all but controls and DEL. */
static inline bool http1_is_value(char c)
{
	unsigned char u = (unsigned char)c;
	return (u >= 0x20 && u != 0x7f) || u == '\t';
}

/* Printable ASCII; a fragment ('#') never travels. */
static inline bool http1_is_target(char c)
{
	return c > 0x20 && c < 0x7f && c != '#';
}

static inline bool http1_is_host(char c)
{
	return http1_is_alnum(c) || c == '.' || c == '-' || c == '_';
}
