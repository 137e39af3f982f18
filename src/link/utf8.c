#include "link/utf8.h"
#include <string.h>

/* Length of the well-formed sequence at p (RFC 3629: no overlong forms, no surrogates), 0 if there
 * is none. */
static size_t sequence(const unsigned char *p, size_t n)
{
	unsigned char c = p[0], low = 0x80, high = 0xbf;
	size_t len;
	if (c && c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		len = 2;
	else if (c >= 0xe0 && c <= 0xef)
		len = 3;
	else if (c >= 0xf0 && c <= 0xf4)
		len = 4;
	else
		return 0;
	switch (c) {
	case 0xe0: low = 0xa0; break;
	case 0xed: high = 0x9f; break;
	case 0xf0: low = 0x90; break;
	case 0xf4: high = 0x8f; break;
	default: break;
	}
	if (n < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return len;
}

size_t utf8_clean(char *dst, const char *src, size_t n)
{
	size_t out = 0;
	for (size_t i = 0; i < n;) {
		size_t k = sequence((const unsigned char *)src + i, n - i);
		if (k) {
			memcpy(dst + out, src + i, k);
			out += k;
			i += k;
		} else {
			memcpy(dst + out, "\xef\xbf\xbd", 3);
			out += 3;
			i++;
		}
	}
	return out;
}
