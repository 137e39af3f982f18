/* All that wardd was told: where, by which platform file, with which programs. */
#pragma once
#include "base/cgroup.h"
#include "base/daemon.h"
#include "proto/platform_file.h"

struct settings {
	struct places places;
	struct platform platform;
	char libexec[192];   /* the folder of the programs: wardd's own, or --libexec */
	const char *only;    /* --only a,b: these rows of the table alone (tests); NULL: all */
	const char *log_dir; /* <lib>/log */
	struct cgroups cgroups;
	int host_netns; /* the network namespace wardd was started in */
};

int settings_init(struct settings *s, int argc, char **argv, struct err *e) must_check;
bool settings_wants(const struct settings *s, const char *name); /* by --only */
/* What [machines] engine allows, given what KVM can do here. engine: enum wardd_engine. */
bool settings_allows_engine(const struct settings *s, uint32_t engine);
