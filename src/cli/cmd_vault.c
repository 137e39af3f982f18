#include "cli/beside.h"

static int run(struct cli *c, struct err *e)
{
	return beside_become(c, "ward-unlock", e);
}

const struct command cmd_vault_unlock = {
	.name = "vault unlock",
	.args = "",
	.summary = "open the vault on this host with its passphrase",
	.text = "Needed after each start of the vault where [vault] of ward.toml has no key_file, "
		"as root on the host. Asks on a terminal, else takes the first line of the "
		"standard input. The first passphrase ever given becomes the vault's; without it "
		"nothing that is sealed can be read again.",
	.options = (const struct cli_option[]){ OPTION_ROOT, OPTION_INSTANCE, OPTION_END },
	.run = run,
};
