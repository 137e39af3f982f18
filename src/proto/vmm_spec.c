#include "proto/vmm_spec.h"
#include "base/file.h"
#include "base/str.h"
#include <string.h>

static bool is_mac(const char mac[18])
{
	for (int i = 0; i < 17; i++)
		if (i % 3 == 2 ? mac[i] != ':' : !strchr("0123456789abcdef", mac[i]) || !mac[i])
			return false;
	return !mac[17];
}

int vmm_spec_check(const struct vmm_spec *s, struct err *e)
{
	if (s->version != VMM_SPEC_VERSION)
		return err_set(e, ERR_PROTOCOL,
		    "the machine's description has version %u, this program knows %d", s->version,
		    VMM_SPEC_VERSION);
	if (s->role >= WARDD_ROLE_MAX)
		return err_set(e, ERR_PROTOCOL, "there is no role %u in a cage", s->role);
	if (!memchr(s->machine, 0, sizeof(s->machine)) || !id_is_machine(s->machine))
		return err_set(e, ERR_PROTOCOL, "the machine's id is not one");
	if (s->role != WARDD_ROLE_MONITOR)
		return 0;
	if (s->engine != WARDD_ENGINE_EMULATED && s->engine != WARDD_ENGINE_KVM)
		return err_set(e, ERR_PROTOCOL, "there is no engine %u", s->engine);
	if (s->cpus < 1 || s->cpus > 32)
		return err_set(e, ERR_INVALID, "a machine has 1 to 32 CPUs, not %u", s->cpus);
	if (s->memory_mib < 64 || s->memory_mib > 262144)
		return err_set(e, ERR_INVALID, "a machine has 64 to 262144 MiB of memory, not %u",
		    s->memory_mib);
	if (!is_mac(s->mac))
		return err_set(e, ERR_INVALID,
		    "the card's address must be six pairs of lower-case hex digits");
	return 0;
}

int vmm_spec_read(int fd, struct vmm_spec *ret, struct err *e)
{
	struct vmm_spec s;
	int r = io_read_all(fd, &s, sizeof(s));
	if (r < 0)
		return err_sys(e, -r, "cannot read the machine's description from fd %d", fd);
	r = vmm_spec_check(&s, e);
	if (r < 0)
		return r;
	*ret = s;
	return 0;
}
