/* The records of the store as structs: parsed once, strictly, versioned. The JSON forms are
 * docs/architecture.md, "State". */
#pragma once
#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "core/restart.h"

enum {
	RECORD_VERSION = 1,
	NAME_MAX_LEN = 63,
	REASON_MAX = 240,
	SCRATCH_GIB_DEFAULT = 8,
	MACHINE_EVENTS_MAX = 50,
	BOOT_ID_LEN = 36,
	/* A desired record holds two configs while a deploy is under way, and must fit the store.
	 */
	CONFIG_BYTES_MAX = 100 * 1024,
	METADATA_BYTES_MAX = 16 * 1024,
};

/* The states of the Machines API that Ward has so far (suspend is not built). */
enum machine_state {
	MACHINE_CREATED,
	MACHINE_STARTING,
	MACHINE_STARTED,
	MACHINE_STOPPING,
	MACHINE_STOPPED,
	MACHINE_RESTARTING,
	MACHINE_UPDATING,
	MACHINE_FAILED,
	MACHINE_DESTROYING,
	MACHINE_DESTROYED,
	MACHINE_STATE_MAX
};
const char *machine_state_name(enum machine_state s);
bool machine_state_find(const char *name, enum machine_state *ret);

enum machine_want { WANT_STARTED, WANT_STOPPED, WANT_DESTROYED };
const char *machine_want_name(enum machine_want w);

/* What a machine takes from its host. */
struct machine_size {
	uint32_t cpus, memory_mib, scratch_gib;
};

/* desired/<host>/<machine>. Owns its JSON parts; desired_done lets go of them. */
struct desired {
	char id[MACHINE_ID_LEN + 1], app[APP_ID_LEN + 1];
	char app_name[NAME_MAX_LEN + 1], group[NAME_MAX_LEN + 1], name[NAME_MAX_LEN + 1],
	    region[NAME_MAX_LEN + 1];
	char instance_id[ULID_LEN + 1];
	int64_t version, release, start_seq, restart_seq;
	enum machine_want want;
	char stop_signal[16]; /* "" and 0: as the config says */
	int64_t stop_timeout_ms;
	bool stop_force, cordoned, skip_launch;
	uint32_t number, network;
	char created_at[CLOCK_RFC3339_SIZE], updated_at[CLOCK_RFC3339_SIZE];
	json_t *config, *metadata; /* objects */
	json_t *old; /* object: config, instance_id, release, want before the deploy under way; or
			NULL */

	/* read out of config by desired_set_config */
	struct machine_size size;
	struct restart_policy restart;
	char config_signal[16];
	int64_t config_timeout_ms;
	bool auto_destroy, has_checks, has_services;
};

int desired_parse(const json_t *j, struct desired *ret, struct err *e) must_check;
json_t *desired_format(const struct desired *d); /* NULL on no memory */
/* Of what is asked for (metadata may be NULL): too large for any record? */
int desired_check_size(const json_t *config, const json_t *metadata, struct err *e) must_check;
/* Takes a reference to config and reads the members above out of it. */
int desired_set_config(struct desired *d, json_t *config, struct err *e) must_check;
/* A copy that shares the JSON parts: replace them, never change them in place. */
void desired_copy(const struct desired *from, struct desired *ret);
void desired_done(struct desired *d);

/* How a run ended. */
struct machine_exit {
	int32_t code, signal; /* code -1: not known */
	bool oom, requested_stop;
	uint64_t at_ms; /* wall clock */
};
json_t *machine_exit_format(const struct machine_exit *x, bool restarting);

/* observed/<host>/<machine>, as control reads it (the agent writes it from its own record). */
struct observed {
	char id[MACHINE_ID_LEN + 1];
	enum machine_state state;
	char instance_id[ULID_LEN + 1], failed_instance[ULID_LEN + 1];
	int64_t generation, restarts;
	char reason[REASON_MAX];
	bool has_exit;
	struct machine_exit exit;
	uint64_t started_at_ms, updated_at_ms; /* wall clock */
};
int observed_parse(const json_t *j, struct observed *ret, struct err *e) must_check;

/* observed/<host>/checks/<machine>, summed up. */
struct checks {
	char instance_id[ULID_LEN + 1];
	int64_t generation;
	unsigned total, passing, critical;
	char worst[200]; /* "name: output" of the first that does not pass */
};
int checks_parse(const json_t *j, struct checks *ret, struct err *e) must_check;

/* hosts/<host>. */
struct host {
	char name[NAME_MAX_LEN + 1], region[NAME_MAX_LEN + 1];
	uint32_t id;
	uint32_t cpus;
	uint64_t memory_mib, disk_mib;
	bool runs_machines; /* an engine works here and is allowed (record: "engine" is not "none")
			     */
};
int host_parse(const json_t *j, struct host *ret, struct err *e) must_check;
json_t *host_format(const struct host *h, const char *engine, const char *updated_at);

/* apps/<id>/app. */
enum app_status { APP_PENDING, APP_DEPLOYED, APP_DELETING };
struct app {
	char id[APP_ID_LEN + 1], name[NAME_MAX_LEN + 1], org[NAME_MAX_LEN + 1],
	    network[NAME_MAX_LEN + 1];
	uint32_t network_id;
	enum app_status status;
	int64_t release;           /* the newest that exists; 0: none */
	char deploy[ULID_LEN + 1]; /* under way; "" if none */
	char created_at[CLOCK_RFC3339_SIZE];
};
int app_parse(const json_t *j, struct app *ret, struct err *e) must_check;
json_t *app_format(const struct app *a);

/* Shared by the parsers: "v" must be 1; a string member copied into dst, error when too long. */
int record_check_version(const json_t *j, const char *what, struct err *e) must_check;
int record_opt_text(
    const json_t *j, const char *key, char *dst, size_t size, struct err *e) must_check;
int record_need_text(
    const json_t *j, const char *key, char *dst, size_t size, struct err *e) must_check;
