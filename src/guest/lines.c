#include "guest/lines.h"
#include <string.h>

void lines_feed(struct lines *l, const char *p, size_t n, line_fn fn, void *arg)
{
	while (n) {
		const char *nl = memchr(p, '\n', n);
		size_t rest = nl ? (size_t)(nl - p) : n;
		/* A full buffer is only cut when more of the same line is really there: a line of
		 * exactly the maximum is whole. */
		while (l->len + rest > sizeof l->text) {
			size_t k = sizeof l->text - l->len;
			memcpy(l->text + l->len, p, k);
			fn(arg, l->text, sizeof l->text, true);
			l->len = 0;
			p += k;
			n -= k;
			rest -= k;
		}
		memcpy(l->text + l->len, p, rest);
		l->len += rest;
		if (nl) {
			fn(arg, l->text, l->len, false);
			l->len = 0;
			rest++;
		}
		p += rest;
		n -= rest;
	}
}

void lines_flush(struct lines *l, line_fn fn, void *arg)
{
	if (l->len)
		fn(arg, l->text, l->len, false);
	l->len = 0;
}
