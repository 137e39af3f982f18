/* A deploy, recorded: what is done to which machine, how far it is, and how it ended. One decision
 * at a time; each is one transaction that moves the record and what it changes together, so it can
 * be cut anywhere.
 *
 * Two phases. First each machine in turn is brought to the new version behind its checks; nothing
 * old is removed. When all hold, what is old goes. Until then the first failing check or exit turns
 * it around: everything changed is put back. */
#pragma once
#include "core/records.h"
#include "core/txn.h"

enum deploy_status { DEPLOY_RUNNING, DEPLOY_ROLLING_BACK, DEPLOY_SUCCEEDED, DEPLOY_FAILED };

enum deploy_action {
	DEPLOY_CREATE,  /* one more machine */
	DEPLOY_UPDATE,  /* the machine itself gets the new version */
	DEPLOY_REPLACE, /* the only one of its group: a new one beside it first, then the old one
			   goes */
	DEPLOY_REMOVE,  /* one too many */
};

enum deploy_step {
	DSTEP_WAITING,
	DSTEP_CORDON,     /* take it out of routing */
	DSTEP_DRAIN,      /* let requests end */
	DSTEP_APPLY,      /* create it, or write the new version */
	DSTEP_START,      /* wait: started */
	DSTEP_CHECK,      /* wait: all checks pass */
	DSTEP_UNCORDON,   /* into routing */
	DSTEP_SETTLE,     /* let routing learn of it */
	DSTEP_CORDON_OLD, /* REPLACE: the old one out of routing */
	DSTEP_DRAIN_OLD,
	DSTEP_HOLD,   /* end of the first phase */
	DSTEP_REMOVE, /* what is old or too many */
	DSTEP_DONE,
	/* turned around */
	DSTEP_UNDO,       /* to be put back */
	DSTEP_UNDO_APPLY, /* put back; wait for it to serve again */
	DSTEP_UNDONE,
	DSTEP_MAX
};
const char *deploy_step_name(enum deploy_step s);
const char *deploy_action_name(enum deploy_action a);
const char *deploy_status_name(enum deploy_status s);

enum {
	DEPLOY_ITEMS_MAX = 128,
	DEPLOY_DRAIN_MS = 3000,
	DEPLOY_SETTLE_MS = 4000,     /* routing learns of it; and it must stay up so long */
	DEPLOY_SMOKE_MS = 5000,      /* without checks: it must run so long */
	DEPLOY_UNDO_MS = 180 * 1000, /* how long we wait for the old version to serve again */
	DEPLOY_WAIT_MS = 300 * 1000,
};

struct deploy_item {
	char machine[MACHINE_ID_LEN + 1]; /* CREATE and REPLACE: "" until applied */
	char old[MACHINE_ID_LEN + 1];     /* REPLACE */
	char group[NAME_MAX_LEN + 1];
	enum deploy_action action;
	enum deploy_step step;
	bool asleep; /* it was stopped before: it gets the new version and stays stopped */
};

struct deploy {
	char id[ULID_LEN + 1], app[APP_ID_LEN + 1];
	int64_t release;
	enum deploy_status status;
	bool immediate;
	int64_t wait_timeout_ms;
	char reason[REASON_MAX];
	char created_at[CLOCK_RFC3339_SIZE];
	int64_t events; /* told so far */
	struct deploy_item item[DEPLOY_ITEMS_MAX];
	size_t nitems;

	uint64_t since_ms; /* not recorded: when this process first saw the present step; 0: not
			      yet. A new leader waits anew. */
};

int deploy_parse(const json_t *j, struct deploy *ret, struct err *e) must_check;
json_t *deploy_format(const struct deploy *d);
/* Whether both stand at the same place, so that since_ms carries over. */
bool deploy_same_place(const struct deploy *a, const struct deploy *b);

struct world;
struct world_app;
struct fresh;

/* Plans a deploy of these groups (as in the release record) into *ret: its items. scale: machines
 * that are there stay as they are, only their count changes. */
int deploy_plan(const struct world *w, const struct world_app *a, const json_t *groups, bool scale,
    struct deploy *ret, struct err *e) must_check;

/* The next move of a.deploy, if there is one now: writes into *t (empty when nothing is to be done
 * before *ret_look_ms or a change). now: this process's monotonic time. Sets since_ms of a->deploy.
 */
int deploy_decide(const struct world *w, struct world_app *a, uint64_t now,
    const struct fresh *fresh, struct txn *t, uint64_t *ret_look_ms, struct err *e) must_check;

/* A first or next desired record; used by machine.create too. config is shared. */
int deploy_make_machine(const struct world *w, const struct app *app, const char *group,
    const char *name, const char *region, json_t *config, int64_t release,
    const struct fresh *fresh, struct desired *ret, char ret_host[NAME_MAX_LEN + 1],
    struct err *e) must_check;
