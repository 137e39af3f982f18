#include "core/place.h"
#include "base/str.h"

/* A machine holds its place until its record is gone, whatever is wanted of it. */
static bool holds_place(const struct world_machine *m, const char *host)
{
	return m->has_desired && streq(m->host, host) &&
	       !(m->d.want == WANT_DESTROYED && m->has_observed && m->o.state == MACHINE_DESTROYED);
}

struct capacity place_left(const struct world *w, const struct world_host *h)
{
	struct capacity left = capacity_of_host(&h->h);
	for (size_t i = 0; i < w->nmachines; i++) {
		const struct world_machine *m = w->machines[i];
		if (!holds_place(m, h->name))
			continue;
		struct capacity c = capacity_of_machine(&m->d.size);
		capacity_take(&left, &c);
	}
	return left;
}

static size_t machines_of(const struct world *w, const char *host, const char *app)
{
	size_t n = 0;
	for (size_t i = 0; i < w->nmachines; i++)
		n += streq(w->machines[i]->host, host) &&
		     world_machine_counts(w->machines[i], app, NULL);
	return n;
}

int place_choose(const struct world *w, const char *app, const char *region,
    const struct machine_size *size, const struct world_host **ret, struct err *e)
{
	const struct world_host *best = NULL;
	size_t best_n = 0;
	uint64_t best_left = 0;
	bool any = false;
	struct err why = { 0 }, no_engine = { 0 };
	for (size_t i = 0; i < w->nhosts; i++) {
		const struct world_host *h = &w->hosts[i];
		if (!h->known || !h->alive || (*region && !streq(region, h->h.region)))
			continue;
		any = true;
		if (!h->h.runs_machines) {
			err_set(&no_engine, ERR_EMULATION,
			    "host %s has no usable hardware virtualisation, and its platform file "
			    "does not allow emulation, which is no isolation boundary",
			    h->h.name);
			continue;
		}
		struct capacity left = place_left(w, h);
		if (capacity_check(&left, &h->h, size, &why) < 0 || !place_number(w, h->name, 0))
			continue;
		size_t n = machines_of(w, h->name, app);
		if (best && (n > best_n || (n == best_n && left.memory_mib <= best_left)))
			continue;
		best = h;
		best_n = n;
		best_left = left.memory_mib;
	}
	if (best) {
		*ret = best;
		return 0;
	}
	if (!any && *region)
		return err_set(e, ERR_CAPACITY, "no living host is in region %s", region);
	if (!any)
		return err_set(e, ERR_UNAVAILABLE, "no host is alive to run a machine");
	if (why.code == ERR_NONE && no_engine.code != ERR_NONE) {
		if (e)
			*e = no_engine;
		return -EPERM;
	}
	if (why.code == ERR_NONE)
		return err_set(e, ERR_CAPACITY, "no host has an address left for one more machine");
	if (e)
		*e = why;
	return -ENOSPC;
}

int place_resize(const struct world *w, const struct world_machine *m,
    const struct machine_size *size, struct err *e)
{
	for (size_t i = 0; i < w->nhosts; i++) {
		const struct world_host *h = &w->hosts[i];
		if (!streq(h->name, m->host) || !h->known)
			continue;
		struct capacity left = place_left(w, h), own = capacity_of_machine(&m->d.size);
		left.cpus += own.cpus;
		left.memory_mib += own.memory_mib;
		left.disk_mib += own.disk_mib;
		return capacity_check(&left, &h->h, size, e);
	}
	return 0; /* its host is not known now: nothing to measure against */
}

uint32_t place_number(const struct world *w, const char *host, uint32_t random)
{
	bool taken[PLACE_NUMBERS + 1] = { 0 };
	for (size_t i = 0; i < w->nmachines; i++) {
		const struct world_machine *m = w->machines[i];
		if (m->has_desired && streq(m->host, host) && m->d.number <= PLACE_NUMBERS)
			taken[m->d.number] = true;
	}
	for (uint32_t i = 0; i < PLACE_NUMBERS; i++) {
		uint32_t n = 2 + (random + i) % (PLACE_NUMBERS - 1);
		if (!taken[n])
			return n;
	}
	return 0;
}
