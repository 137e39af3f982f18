/* A growing byte buffer with a mandatory maximum. The content is always followed by a NUL that len
 * does not count, so that text can be used as a C string. All zero is not valid: use buf_init. */
#pragma once
#include "base/err.h"
#include "base/util.h"

struct buf {
	char *data; /* NULL until something is added */
	size_t len, cap, max;
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);  /* frees; may be called twice */
void buf_reset(struct buf *b); /* keeps the memory */

/* Each returns 0, -EMSGSIZE (would pass max) or -ENOMEM; on failure the content is unchanged. */
int buf_reserve(struct buf *b, size_t more) must_check; /* room for `more` bytes after len */
int buf_add(struct buf *b, const void *p, size_t n) must_check;
int buf_add_str(struct buf *b, const char *s) must_check;
int buf_printf(struct buf *b, const char *fmt, ...) must_check printf_like(2, 3);

void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */
char *buf_steal(struct buf *b);            /* the caller frees; "" when empty; NULL on no memory */
static inline struct bytes buf_bytes(const struct buf *b)
{
	return (struct bytes){ b->data, b->len };
}

static inline void buf_cleanup_(struct buf *b)
{
	buf_done(b);
}
#define cleanup_buf __attribute__((cleanup(buf_cleanup_)))
