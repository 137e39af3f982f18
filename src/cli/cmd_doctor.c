#include "cli/beside.h"

static int run(struct cli *c, struct err *e)
{
	return beside_become(c, "ward-doctor", e);
}

const struct command cmd_doctor = {
	.name = "doctor",
	.args = "",
	.summary = "what this host can and cannot do",
	.text = "Looks at KVM, control groups, namespaces, swap, disk and the platform's daemons, "
		"and says for each fault what to do.",
	.options = (const struct cli_option[]){ OPTION_ROOT, OPTION_INSTANCE, OPTION_END },
	.run = run,
};
