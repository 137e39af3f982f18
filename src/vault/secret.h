/* Memory for keys: locked (never swapped), left out of dumps, between guard pages, wiped when
 * freed. */
#pragma once
#include "base/err.h"
#include "base/util.h"

/* *ret is zeroed; -EPERM with ERR_WALL when it cannot be locked. */
int secret_new(size_t size, void **ret, struct err *e) must_check;
void secret_free(void *p); /* wipes; NULL is fine */

static inline void cleanup_secret_(void *p)
{
	secret_free(*(void **)p);
}
#define cleanup_secret __attribute__((cleanup(cleanup_secret_)))
