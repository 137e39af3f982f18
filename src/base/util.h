/* Small things used everywhere: scope cleanup, counts, saturating and checked arithmetic. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define countof(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)  ((a) < (b) ? (a) : (b))
#define MAX(a, b)  ((a) > (b) ? (a) : (b))

static inline void cleanup_free_(void *p)
{
	free(*(void **)p);
}
static inline void cleanup_close_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void cleanup_fclose_(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define cleanup_free   __attribute__((cleanup(cleanup_free_)))
#define cleanup_close  __attribute__((cleanup(cleanup_close_)))
#define cleanup_fclose __attribute__((cleanup(cleanup_fclose_)))

/* Hands the value over: the caller's variable no longer owns it. */
static inline int steal_fd(int *fd)
{
	int v = *fd;
	*fd = -1;
	return v;
}
#define steal_ptr(pp)                                                                              \
	({                                                                                         \
		__typeof__(*(pp)) v_ = *(pp);                                                      \
		*(pp) = NULL;                                                                      \
		v_;                                                                                \
	})

/* A sequence of bytes that someone else owns. */
struct bytes {
	const void *base;
	size_t len;
};

static inline bool add_overflow_size(size_t a, size_t b, size_t *ret)
{
	return __builtin_add_overflow(a, b, ret);
}
