#include "base/str.h"
#include <sodium.h>

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);
	return n >= m && !memcmp(s + n - m, suffix, m);
}

bool str_copy(char *dst, size_t size, const char *s)
{
	size_t n = strlen(s);
	if (n >= size) {
		if (size)
			dst[0] = 0;
		return false;
	}
	memcpy(dst, s, n + 1);
	return true;
}

bool str_u64(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		unsigned d = (unsigned)(*s - '0');
		if (v > (UINT64_MAX - d) / 10)
			return false;
		v = v * 10 + d;
	}
	if (v > max)
		return false;
	*ret = v;
	return true;
}

bool str_is_name(const char *s, size_t max)
{
	size_t n = strlen(s);
	if (n < 1 || n > max || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++) {
		bool ok = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') ||
			  (s[i] == '-' && s[i + 1] != '-');
		if (!ok)
			return false;
	}
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool str_is_hex(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (hex_digit(s[i]) < 0 || (s[i] >= 'A' && s[i] <= 'F'))
			return false; /* also stops at an early NUL */
	return s[len] == 0;
}

void hex_encode(char *dst, const void *src, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = src;
	for (size_t i = 0; i < n; i++) {
		dst[2 * i] = digits[p[i] >> 4];
		dst[2 * i + 1] = digits[p[i] & 15];
	}
	dst[2 * n] = 0;
}

bool hex_decode(void *dst, size_t n, const char *src)
{
	uint8_t *p = dst;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_digit(src[2 * i]);
		int lo = hi < 0 ? -1 : hex_digit(src[2 * i + 1]);
		if (lo < 0)
			return false;
		p[i] = (uint8_t)(hi << 4 | lo);
	}
	return src[2 * n] == 0;
}

char *base64_encode(const void *src, size_t n)
{
	size_t size = sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL);
	char *p = malloc(size);
	return p ? sodium_bin2base64(p, size, src, n, sodium_base64_VARIANT_ORIGINAL) : NULL;
}

ssize_t base64_decode(void *dst, size_t size, const char *src, size_t n)
{
	size_t len;
	const char *end;
	if (sodium_base642bin(
		dst, size, src, n, NULL, &len, &end, sodium_base64_VARIANT_ORIGINAL) ||
	    end != src + n)
		return -1;
	return (ssize_t)len;
}

unsigned str_distance(const char *a, const char *b)
{
	enum { LIMIT = 64, STOP = 8 };
	size_t n = strlen(a), m = strlen(b);
	if (n > LIMIT || m > LIMIT)
		return STOP;
	unsigned d[3][LIMIT + 1];
	for (size_t j = 0; j <= m; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *cur = d[i % 3], *prev = d[(i - 1) % 3], *prev2 = d[(i + 1) % 3];
		cur[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = prev[j - 1] + (a[i - 1] != b[j - 1]);
			best = MIN(best, prev[j] + 1);
			best = MIN(best, cur[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN(best, prev2[j - 2] + 1);
			cur[j] = best;
		}
	}
	return MIN(d[n % 3][m], (unsigned)STOP);
}
