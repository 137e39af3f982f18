/* ward-vmm: runs one VM. In its cage it is given one struct on fd 3 (proto/vmm_spec.h) and picks
 * the engine. `ward-vmm --probe` tells as JSON whether KVM is usable here. */
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "vmm/engine.h"
#include "vmm/probe.h"

static int print_probe(void)
{
	struct probe p;
	probe_kvm(&p);
	cleanup_json json_t *j = json_pack("{s:b,s:s,s:I}", "usable", p.usable, "how", p.how,
	    "instructions_per_second", (json_int_t)p.instructions_per_second);
	cleanup_free char *text = j ? json_format(j) : NULL;
	return text && puts(text) >= 0 && fflush(stdout) == 0 ? 0 : 1;
}

static int run(struct err *e)
{
	struct vmm_spec s;
	int r = vmm_spec_read(VMM_SPEC_FD, &s, e);
	if (r < 0)
		return r;
	close(VMM_SPEC_FD);
	const struct engine *engine = engine_find(s.engine);
	if (s.role != WARDD_ROLE_MONITOR || !engine)
		return err_set(e, ERR_PROTOCOL, "this description is for another program");
	return engine->run(&s, e);
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	log_init("ward-vmm");
	if (argc == 2 && streq(argv[1], "--probe"))
		return print_probe();
	if (argc > 1)
		err_set(&e, ERR_INVALID,
		    "ward-vmm takes --probe, or nothing and its description on fd 3");
	else if (run(&e) == 0)
		return 0;
	log_err(&e, "machine");
	return 1;
}
