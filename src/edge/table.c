/* The route table as a worker uses it: swapped whole; requests under way keep the one they began
 * with. */
#include "base/str.h"
#include "edge/worker.h"

struct table *table_ref(struct table *t)
{
	t->refs++;
	return t;
}

void table_unref(struct worker *w, struct table *t)
{
	if (!t || --t->refs)
		return;
	for (uint32_t i = 0; i < t->t.head->nbackends; i++)
		if (t->up[i])
			upstream_put(w, t->up[i]);
	free(t->up);
	route_table_unmap(&t->t);
	free(t);
}

static void each_backend(struct worker *w, struct table *t, int by)
{
	for (uint32_t i = 0; i < t->t.head->nbackends; i++) {
		struct upstream *u = t->up[i];
		if (!u)
			continue;
		u->tables += (unsigned)by;
		if (!u->tables)
			upstream_drop_idle(w, u); /* it left: it shall be able to stop */
	}
}

int table_adopt(struct worker *w, int fd, struct err *e)
{
	struct table *t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(e, ERR_NO_MEMORY, "no memory for the route table");
	int r = route_table_map(fd, &t->t, e);
	if (r < 0) {
		free(t);
		return r;
	}
	t->refs = 1;
	t->up = calloc(MAX(t->t.head->nbackends, 1u), sizeof(void *));
	for (uint32_t i = 0; t->up && i < t->t.head->nbackends; i++)
		t->up[i] = upstream_get(w, &t->t.backends[i]);
	if (!t->up) {
		route_table_unmap(&t->t);
		free(t);
		return err_set(e, ERR_NO_MEMORY, "no memory for the route table");
	}
	struct table *old = w->table;
	each_backend(w, t, 1);
	w->table = t;
	if (old) {
		each_backend(w, old, -1);
		table_unref(w, old);
	}
	upstream_end_replaced(w);
	w->count->tables++;
	w->count->table_serial = t->t.head->serial;
	return 0;
}

static bool was_tried(const struct exchange *x, const struct upstream *u)
{
	for (unsigned i = 0; i < x->tries; i++)
		if (x->tried[i] == u)
			return true;
	return false;
}

struct upstream *table_choose(struct worker *w, const struct exchange *x, struct err *e)
{
	/* a retry looks at what is there now: the machine that refused may have left meanwhile */
	const struct route_app *app = x->tries && w->table
					  ? route_table_find(&w->table->t, x->host, strlen(x->host))
					  : x->app;
	const struct table *t = app == x->app ? x->table : w->table;
	if (!app) {
		app = x->app;
		t = x->table;
	}
	const struct route_pool *p = &app->pool[x->pool - x->app->pool];
	unsigned workers = MAX(w->args->workers, 1u), busy = 0;
	struct upstream *best = NULL;
	unsigned best_rank = 0;
	/* equals share by turns: the search begins elsewhere each time */
	uint32_t turn = p->count ? (uint32_t)(w->count->requests % p->count) : 0;
	for (uint32_t k = 0; k < p->count; k++) {
		uint32_t i = p->first + (turn + k < p->count ? turn + k : turn + k - p->count);
		struct upstream *u = t->up[i];
		if (!u || was_tried(x, u) ||
		    (x->force[0] && !streq(x->force, t->t.backends[i].machine)))
			continue;
		/* each worker has its share of the limits */
		uint32_t hard = t->t.backends[i].hard, soft = t->t.backends[i].soft;
		if (hard && u->active >= (hard + workers - 1) / workers) {
			busy++;
			continue;
		}
		/* one that did not answer a moment ago comes last, one above its soft limit before
		 * it */
		unsigned rank = (u->avoid_until > w->now_ms ? 4u : 0u) +
				(soft && u->active >= (soft + workers - 1) / workers ? 2u : 0u) +
				(streq(x->prefer, t->t.backends[i].machine) ? 0u : 1u);
		if (!best || rank < best_rank || (rank == best_rank && u->active < best->active)) {
			best = u;
			best_rank = rank;
		}
	}
	if (best)
		return best;
	if (busy)
		err_set(e, ERR_APP_BUSY, "all %u machines of %s are at their hard limit", busy,
		    app->name);
	else if (x->force[0])
		err_set(e, ERR_NO_MACHINE, "%s has no machine %s that can answer now", app->name,
		    id_is_machine(x->force) ? x->force : "by the name in Fly-Force-Instance-Id");
	else
		err_set(e, ERR_NO_MACHINE,
		    "no machine of %s can answer: %u not passing their checks, %u not running or "
		    "cordoned",
		    app->name, p->unhealthy, p->resting);
	return NULL;
}
