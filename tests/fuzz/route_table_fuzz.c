/* The route table's loader: whatever it accepts can be looked at without leaving the block (the
 * sanitizers watch). */
#include "proto/route_table.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct route_table t;
	struct err e;
	void *p = aligned_alloc(8, (size + 7) & ~(size_t)7 ? (size + 7) & ~(size_t)7 : 8);
	if (!p)
		return 0;
	memcpy(p, data, size);
	/* the two fields that every mutation would break */
	if (size >= sizeof(struct route_head)) {
		struct route_head *h = p;
		memcpy(h->magic, ROUTE_MAGIC, 8);
		h->size = (uint32_t)size;
	}
	if (route_table_open(p, size, &t, &e) >= 0) {
		uint32_t sum = 0;
		for (uint32_t i = 0; i < t.head->nplaces; i++) {
			const struct route_host *h = &t.hosts[i];
			if (!h->name_len)
				continue;
			const struct route_app *a =
			    route_table_find(&t, t.strings + h->name_at, h->name_len);
			if (!a)
				abort();
			for (int s = 0; s < ROUTE_SIDES; s++)
				for (uint32_t k = 0; k < a->pool[s].count; k++)
					sum += t.backends[a->pool[s].first + k].port;
		}
		volatile uint32_t seen = sum; /* every backend was read */
		(void)seen;
		(void)route_table_find(&t, "no.such.host", 12);
	}
	free(p);
	return 0;
}
