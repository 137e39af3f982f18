/* Explaining the commands, from their table. */
#pragma once
#include "cli/cli.h"

void help_all(void);
void help_command(const struct command *k);
void help_man(void);
