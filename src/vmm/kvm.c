#include "vmm/engine.h"

static int run(const struct vmm_spec *s, struct err *e)
{
	return err_set(e, ERR_UNSUPPORTED,
	    "the KVM monitor is not built yet: machines run on the emulated engine only");
}

const struct engine engine_kvm = { .id = WARDD_ENGINE_KVM, .name = "kvm", .run = run };
