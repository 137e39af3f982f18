/* Commands that look at the host, not at the API, are programs of their own beside ward's others.
 */
#pragma once
#include "cli/cli.h"

/* Becomes <prefix>/libexec/ward/<program> with --json, --root and --instance as given; returns
 * only when that fails. */
int beside_become(struct cli *c, const char *program, struct err *e) must_check;

#define OPTION_ROOT                                                                                \
	{                                                                                          \
		"root", 0, "DIR", "the platform's root folder (default: /)"                        \
	}
#define OPTION_INSTANCE                                                                            \
	{                                                                                          \
		"instance", 0, "NAME", "the platform's instance (default: ward)"                   \
	}
