#include "vmm/engine.h"

const struct engine *engine_find(uint32_t id)
{
	static const struct engine *const all[] = { &engine_emulated, &engine_kvm };
	for (size_t i = 0; i < countof(all); i++)
		if (all[i]->id == id)
			return all[i];
	return NULL;
}
