#include "vmm/tsc.h"
#include <time.h>
#include <x86intrin.h>

struct stamp {
	uint64_t ticks, ns;
};

static uint64_t raw_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_RAW, &t); /* not slewed by time servers */
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The tightest of several readings of both clocks: what came between them is the error. */
static struct stamp read_both(void)
{
	enum { TRIES = 50 };
	struct stamp best = { 0 };
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < TRIES; i++) {
		uint64_t before = __rdtsc(), ns = raw_ns(), after = __rdtsc();
		if (after < before || after - before >= least)
			continue;
		least = after - before;
		best = (struct stamp){ before + least / 2, ns };
	}
	return best;
}

uint64_t tsc_khz(void)
{
	enum { INTERVAL_NS = 30000000, SLOWEST_KHZ = 200000, FASTEST_KHZ = 10000000 };
	struct stamp a = read_both();
	nanosleep(&(struct timespec){ .tv_nsec = INTERVAL_NS }, NULL);
	struct stamp b = read_both();
	if (b.ticks <= a.ticks || b.ns <= a.ns || b.ns - a.ns > 100ULL * INTERVAL_NS)
		return 0;
	uint64_t khz = (b.ticks - a.ticks) * 1000000 / (b.ns - a.ns);
	return khz >= SLOWEST_KHZ && khz <= FASTEST_KHZ ? khz : 0;
}
