#include "cli/cli.h"
#include "cli/out.h"

static int run(struct cli *c, struct err *e)
{
	(void)e;
	if (c->json) {
		cleanup_json json_t *j = json_pack("{s:s}", "version", WARD_VERSION);
		out_json(j);
	} else {
		puts("ward " WARD_VERSION);
	}
	return 0;
}

const struct command cmd_version = {
	.name = "version",
	.args = "",
	.summary = "the version of this command line",
	.options = (const struct cli_option[]){ OPTION_END },
	.run = run,
};
