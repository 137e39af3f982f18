/* The run config (docs/architecture.md, "ward-link's HTTP interface") as the guest understands it.
 * Strict: an unknown version or a wrong type is refused; unknown keys are not (an older guest may
 * be handed a newer config). */
#pragma once
#include "base/json.h"

struct runconf_file {
	const char *guest_path;
	uint8_t *data; /* decoded */
	size_t len;
	unsigned mode;
};

struct runconf {
	json_t *doc; /* owns every string below */
	uint64_t generation;
	const char *machine_id, *hostname;
	const char *ipv4, *ipv4_gateway, *ipv6, *ipv6_gateway; /* NULL: none */
	json_t *dns, *hosts, *env;                             /* arrays / object; NULL: none */
	json_t *image_env, *image_entrypoint, *image_cmd;
	const char *image_dir, *image_user;
	json_t *exec, *entrypoint, *cmd; /* init overrides; NULL: not given */
	bool tty;
	uint64_t swap_mib;
	const char *scratch; /* the device; NULL: the overlay lives in memory */
	int stop_signal;
	uint64_t stop_timeout_ms;
	struct runconf_file *files;
	size_t nfiles;
};

enum {
	RUNCONF_FILES_MAX = 256,
	RUNCONF_ARGS_MAX = 1024,
	RUNCONF_TIMEOUT_MAX_MS = 24 * 3600 * 1000
};

int runconf_parse(const char *text, size_t len, struct runconf *ret, struct err *e) must_check;
void runconf_done(struct runconf *c);

/* "SIGTERM", "TERM" or "15" -> 15; -1 when unknown. */
int signal_parse(const char *name);
