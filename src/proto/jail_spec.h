/* What wardd tells ward-jail: one fixed struct on fd 3. The monitor's tap follows on fd 4 (a link:
 * null). fd 5 is a SEQPACKET socket for the reports: one struct err, whole, for a step that failed;
 * or one with code 0, and the console's fd if it is a monitor, when the cage stands. Then the end
 * of file means that the program runs in it. */
#pragma once
#include "proto/vmm_spec.h"

enum {
	JAIL_SPEC_VERSION = 1,
	JAIL_SPEC_FD = 3,
	JAIL_TAP_FD = 4,

	JAIL_REPORT_FD = 5
};

struct jail_spec {
	uint32_t version;
	uint32_t uid; /* and gid: the machine's */
	char instance[16];
	char lib[80], run[80];
	char libexec[192];   /* the folder of ward-vmm and ward-link */
	char kernel[64];     /* monitor: folder below <lib>/guest */
	char root[72];       /* monitor: 64 hex digits */
	struct vmm_spec vmm; /* handed on */
};
_Static_assert(sizeof(struct jail_spec) == 8 + 16 + 160 + 192 + 136 + sizeof(struct vmm_spec),
    "no hidden padding");
