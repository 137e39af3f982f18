/* Fixed blocks of memory for bytes on their way, from a pool of each worker: the steady state
 * allocates nothing, and the number of blocks bounds what all clients together can make a worker
 * hold. */
#pragma once
#include "base/util.h"
#include <string.h>

enum { BLOCK_SIZE = 40 * 1024 }; /* a head of HTTP1_HEAD_MAX and what the edge adds to it */

struct block {
	struct block *next; /* in the pool */
	uint32_t start, end;
	uint32_t high; /* what was ever written to lies before it: wiped at the end */
	char data[BLOCK_SIZE];
};

struct block_pool {
	struct block *free;
	size_t nfree, nused, max;
};

struct block *block_get(
    struct block_pool *p); /* NULL: the bound is reached or there is no memory */
void block_put(struct block_pool *p, struct block *b); /* NULL is fine */
void block_put_empty(
    struct block_pool *p, struct block **b); /* if nothing is in it; *b is NULL then */
void block_pool_done(struct block_pool *p);

static inline size_t block_len(const struct block *b)
{
	return b ? b->end - b->start : 0;
}
static inline size_t block_room(const struct block *b)
{
	return BLOCK_SIZE - b->end;
}
static inline const char *block_at(const struct block *b)
{
	return b->data + b->start;
}
static inline void block_reset(struct block *b)
{
	b->high = MAX(b->high, b->end);
	b->start = b->end = 0;
}
/* Drops n bytes at the front; an empty block begins anew. */
static inline void block_consume(struct block *b, size_t n)
{
	b->start += (uint32_t)n;
	if (b->start == b->end)
		block_reset(b);
}
/* Moves what is there to the front. */
static inline void block_compact(struct block *b)
{
	if (!b->start)
		return;
	b->high = MAX(b->high, b->end);
	memmove(b->data, b->data + b->start, b->end - b->start);
	b->end -= b->start;
	b->start = 0;
}
static inline void block_append(struct block *b, const void *p, size_t n)
{
	memcpy(b->data + b->end, p, n);
	b->end += (uint32_t)n;
}
