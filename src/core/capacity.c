#include "core/capacity.h"

struct capacity capacity_of_host(const struct host *h)
{
	return (
	    struct capacity){ (uint64_t)h->cpus * CAPACITY_CPU_SHARES, h->memory_mib, h->disk_mib };
}

struct capacity capacity_of_machine(const struct machine_size *s)
{
	return (struct capacity){ s->cpus, (uint64_t)s->memory_mib + CAPACITY_OVERHEAD_MIB,
		(uint64_t)s->scratch_gib * 1024 };
}

static void take(uint64_t *left, uint64_t n)
{
	*left = *left > n ? *left - n : 0;
}

void capacity_take(struct capacity *left, const struct capacity *c)
{
	take(&left->cpus, c->cpus);
	take(&left->memory_mib, c->memory_mib);
	take(&left->disk_mib, c->disk_mib);
}

int capacity_check(
    const struct capacity *left, const struct host *h, const struct machine_size *s, struct err *e)
{
	struct capacity c = capacity_of_machine(s);
	if (s->cpus > h->cpus)
		return err_set(e, ERR_CAPACITY, "the machine wants %u CPUs, host %s has %u",
		    s->cpus, h->name, h->cpus);
	if (c.cpus > left->cpus)
		return err_set(e, ERR_CAPACITY, "host %s has no CPU share left", h->name);
	if (c.memory_mib > left->memory_mib)
		return err_set(e, ERR_CAPACITY,
		    "the machine takes %llu MiB of memory (%u and %d for its monitor), host %s has "
		    "%llu left",
		    (unsigned long long)c.memory_mib, s->memory_mib, CAPACITY_OVERHEAD_MIB, h->name,
		    (unsigned long long)left->memory_mib);
	if (c.disk_mib > left->disk_mib)
		return err_set(e, ERR_CAPACITY,
		    "the machine's scratch disk takes %u GiB, host %s has %llu MiB left",
		    s->scratch_gib, h->name, (unsigned long long)left->disk_mib);
	return 0;
}
