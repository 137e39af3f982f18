/* Can /dev/kvm run a guest at a machine's speed? It can be there and be of no use: paravirtual
 * nested KVM emulates each kernel instruction. So it is measured: 20,000 instructions in 64-bit
 * mode. */
#pragma once
#include "base/err.h"
#include "base/util.h"

enum { PROBE_INSTRUCTIONS = 20000, PROBE_USABLE_PER_SECOND = 20000000 };

struct probe {
	bool usable;
	uint64_t instructions_per_second; /* 0: not measured */
	char how[240];                    /* a sentence: what was measured, or what stopped it */
};

/* Always fills *ret; failing to measure is an answer, not an error. */
void probe_kvm(struct probe *ret);
