/* The commands, in the order in which help lists them. */
#include "cli/cli.h"

#define COMMANDS(X)                                                                                \
	X(launch)                                                                                  \
	X(deploy)                                                                                  \
	X(status)                                                                                  \
	X(logs) X(console) X(releases) X(rollback) X(scale_count) X(scale_show) X(apps)            \
	    X(apps_list) X(apps_create) X(apps_destroy) X(machine_list) X(machine_status) X(       \
		machine_run) X(machine_create) X(machine_update) X(machine_start) X(machine_stop)  \
		X(machine_restart) X(machine_kill) X(machine_signal) X(machine_destroy)            \
		    X(machine_exec) X(machine_wait) X(machine_cordon) X(machine_uncordon)          \
			X(machine_events) X(machine_ps) X(machine_metadata) X(machine_leases_view) \
			    X(machine_leases_acquire) X(machine_leases_clear) X(config_validate)   \
				X(config_show) X(doctor) X(completions) X(help) X(version)

#define X(name) extern const struct command cmd_##name;
COMMANDS(X)
#undef X

const struct command *const commands[] = {
#define X(name) &cmd_##name,
	COMMANDS(X)
#undef X
	    NULL,
};
