#include "cli/cli.h"

#define X(name) extern const struct command cmd_##name;
#include "cli/commands.def"
#undef X

const struct command *const commands[] = {
#define X(name) &cmd_##name,
#include "cli/commands.def"
#undef X
	NULL,
};
