/* Strings and numbers, locale-free. */
#pragma once
#include "base/util.h"
#include <string.h>

static inline bool streq(const char *a, const char *b)
{
	return !strcmp(a, b);
}
static inline bool str_starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}
bool str_ends(const char *s, const char *suffix);

/* Copies s into dst[size]; false (dst empty) when it does not fit whole. */
bool str_copy(char *dst, size_t size, const char *s);

/* Whole-string decimal, no sign, no blank, at most max. False leaves *ret untouched. */
bool str_u64(const char *s, uint64_t max, uint64_t *ret);

/* [a-z0-9] and single '-' inside, 1..max bytes, not at either end: names of apps, hosts,
 * organisations. */
bool str_is_name(const char *s, size_t max);
bool str_is_hex(const char *s, size_t len); /* exactly len lower-case hex digits */

void hex_encode(char *dst /* 2n+1 */, const void *src, size_t n);
bool hex_decode(void *dst, size_t n, const char *src /* exactly 2n digits, any case */);

/* Standard base64 with padding (RFC 4648 section 4). encode: the caller frees, NULL on no memory.
 * decode: strict; returns the count of bytes, or -1. */
char *base64_encode(const void *src, size_t n);
ssize_t base64_decode(void *dst, size_t size, const char *src, size_t n);

/* Edit distance with transpositions, for "did you mean"; stops counting at 8. */
unsigned str_distance(const char *a, const char *b);
