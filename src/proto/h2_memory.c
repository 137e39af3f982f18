#include "proto/h2_memory.h"
#include <string.h>

/* In front of each block: its size. 16 bytes, so that what follows is aligned for anything. */
union block {
	size_t size;
	char align[16];
};

static void *mem_alloc(size_t n, void *arg)
{
	struct h2_memory *m = arg;
	if (n > m->max || m->used + n > m->max)
		return NULL;
	union block *b = malloc(sizeof *b + n);
	if (!b)
		return NULL;
	b->size = n;
	m->used += n;
	m->peak = MAX(m->peak, m->used);
	return b + 1;
}

static void mem_free(void *ptr, void *arg)
{
	struct h2_memory *m = arg;
	if (!ptr)
		return;
	union block *b = (union block *)ptr - 1;
	m->used -= b->size;
	free(b);
}

static void *mem_calloc(size_t a, size_t b, void *arg)
{
	size_t n;
	if (__builtin_mul_overflow(a, b, &n))
		return NULL;
	void *p = mem_alloc(n, arg);
	return p ? memset(p, 0, n) : NULL;
}

static void *mem_realloc(void *ptr, size_t n, void *arg)
{
	void *p = mem_alloc(n, arg);
	if (p && ptr) {
		memcpy(p, ptr, MIN(((union block *)ptr - 1)->size, n));
		mem_free(ptr, arg);
	}
	return p;
}

nghttp2_mem h2_memory_hooks(struct h2_memory *m, size_t max)
{
	*m = (struct h2_memory){ .max = max };
	return (nghttp2_mem){ m, mem_alloc, mem_free, mem_calloc, mem_realloc };
}
