/* Engines run one VM. Which one is the agent's choice within what the platform's file allows; wardd
 * has checked that before. */
#pragma once
#include "proto/vmm_spec.h"

struct engine {
	enum wardd_engine id;
	const char *name;
	/* Becomes, or runs, the VM until its end. Returns only with an error. */
	int (*run)(const struct vmm_spec *s, struct err *e);
};

extern const struct engine engine_emulated;    /* emulated.c: QEMU with TCG */
extern const struct engine engine_kvm;         /* kvm.c */
const struct engine *engine_find(uint32_t id); /* NULL: none */
