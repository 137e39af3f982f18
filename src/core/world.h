/* What the decisions of the control plane look at: the store's records, parsed, kept level key by
 * key. No I/O: control feeds it from its views, the simulation from its fake store. A record that
 * cannot be read is left out and told, never fatal. */
#pragma once
#include "core/deploy.h"
#include "core/records.h"

struct world_machine {
	char host[NAME_MAX_LEN + 1];
	char id[MACHINE_ID_LEN + 1];
	bool has_desired, has_observed, has_checks;
	struct desired d;
	int64_t rev; /* of desired */
	struct observed o;
	struct checks c;
};

struct world_app {
	struct app a;
	int64_t rev; /* 0: the app record is not there (yet, or any more) */
	char id[APP_ID_LEN + 1];
	json_t *releases;      /* "<n>" -> record */
	json_t *deploys;       /* ulid -> record */
	struct deploy *deploy; /* a.deploy, parsed; or NULL */
	int64_t deploy_rev;
};

struct world_host {
	char name[NAME_MAX_LEN + 1];
	bool known, alive;
	struct host h;
};

struct world {
	struct world_machine **machines;
	size_t nmachines;
	struct world_app **apps;
	size_t napps;
	struct world_host *hosts;
	size_t nhosts;
	json_t *names; /* name -> {"id","rev"} */
};

int world_init(struct world *w, struct err *e) must_check;
void world_done(struct world *w);

/* value NULL: the key is gone. Keys it does not know are nothing to it. An unreadable value: error,
 * and as if absent. */
int world_set(
    struct world *w, const char *key, const json_t *value, int64_t rev, struct err *e) must_check;

struct world_machine *world_machine(
    const struct world *w, const char *id); /* NULL: none with a desired record */
struct world_app *world_app(
    const struct world *w, const char *id); /* NULL: none with an app record */
const char *world_name(
    const struct world *w, const char *name, int64_t *ret_rev); /* app id; NULL: free */
struct world_app *world_app_by_name(const struct world *w, const char *name);
const json_t *world_release(const struct world_app *a, int64_t n);
int64_t world_newest_release(const struct world_app *a); /* whatever became of it; 0: none */
/* The newest that succeeded, of all or below a number; 0: none. */
int64_t world_present_release(const struct world_app *a);
int64_t world_succeeded_below(const struct world_app *a, int64_t below);

/* A machine that counts: desired and not to be destroyed. */
bool world_machine_counts(
    const struct world_machine *m, const char *app, const char *group /* or NULL */);

/* Made for decisions by whoever calls them: new ids, the time. */
struct fresh {
	char machine[MACHINE_ID_LEN + 1], app[APP_ID_LEN + 1], instance[ULID_LEN + 1];
	uint32_t random;
	uint64_t wall_ms;
};
void fresh_time(char dst[CLOCK_RFC3339_SIZE], const struct fresh *f);
