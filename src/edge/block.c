#include "edge/block.h"

enum { KEEP_FREE = 256 }; /* more than these go back to the system */

struct block *block_get(struct block_pool *p)
{
	if (p->nused >= p->max)
		return NULL;
	struct block *b = p->free;
	if (b) {
		p->free = b->next;
		p->nfree--;
	} else {
		b = malloc(sizeof(*b));
		if (!b)
			return NULL;
	}
	p->nused++;
	b->next = NULL;
	b->start = b->end = b->high = 0;
	return b;
}

void block_put(struct block_pool *p, struct block *b)
{
	if (!b)
		return;
	p->nused--;
	/* what went through may be a patient's: it does not stay in memory */
	explicit_bzero(b->data, MAX(b->high, b->end));
	if (p->nfree >= KEEP_FREE) {
		free(b);
		return;
	}
	b->next = p->free;
	p->free = b;
	p->nfree++;
}

void block_put_empty(struct block_pool *p, struct block **b)
{
	if (block_len(*b))
		return;
	block_put(p, *b);
	*b = NULL;
}

void block_pool_done(struct block_pool *p)
{
	while (p->free) {
		struct block *b = p->free;
		p->free = b->next;
		free(b);
	}
	p->nfree = 0;
}
