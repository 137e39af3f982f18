/* Which host a new machine goes to, and its number there. */
#pragma once
#include "core/capacity.h"
#include "core/world.h"

/* Free capacity of a host by what is desired there. */
struct capacity place_left(const struct world *w, const struct world_host *h);

/* A living host of the region (any, when region is "") where it fits: fewest machines of this app
 * first, then most memory left. ERR_CAPACITY with what was short, ERR_UNAVAILABLE when no host
 * lives. */
int place_choose(const struct world *w, const char *app, const char *region,
    const struct machine_size *size, const struct world_host **ret, struct err *e) must_check;

/* Whether an update of this machine to the new size fits where it is. */
int place_resize(const struct world *w, const struct world_machine *m,
    const struct machine_size *size, struct err *e) must_check;

enum { PLACE_NUMBERS = 4000 };
/* A number free on the host; where to begin looking comes from `random`, so that an address is not
 * reused at once. 0: none. */
uint32_t place_number(const struct world *w, const char *host, uint32_t random);
