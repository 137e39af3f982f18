/* What a host has, what its machines take, and whether one more fits. */
#pragma once
#include "core/records.h"

enum {
	CAPACITY_OVERHEAD_MIB =
	    160, /* the monitor's, link's and page tables' own memory, for each machine */
	CAPACITY_CPU_SHARES = 16, /* shared CPUs sold for each real one */
};

struct capacity {
	uint64_t cpus, memory_mib, disk_mib; /* cpus in shares */
};

struct capacity capacity_of_host(const struct host *h);
struct capacity capacity_of_machine(const struct machine_size *s);
void capacity_take(struct capacity *left, const struct capacity *c); /* stops at 0 */

/* 0, or ERR_CAPACITY naming what is short. cpus: the host's real ones; a machine cannot have more.
 */
int capacity_check(const struct capacity *left, const struct host *h, const struct machine_size *s,
    struct err *e) must_check;
