/* The run config as the guest takes it from its host, and the command that comes of it. */
#include "guest/command.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct runconf c;
	struct command cmd;
	struct err e = { 0 };
	if (runconf_parse((const char *)data, size, &c, &e) < 0) {
		if (!e.code || !*e.text)
			abort();
		return 0;
	}
	if (command_plan(&c, &cmd, &e) == 0) {
		if (!cmd.argv[0] || !*cmd.argv[0])
			abort();
		command_done(&cmd);
	}
	runconf_done(&c);
	return 0;
}
