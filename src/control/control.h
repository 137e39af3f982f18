/* ward-control: turns requests into desired state and moves deploys along, on the one host that
 * holds the lease. Every decision is a function of src/core; here is only the view they look at and
 * the carrying out. */
#pragma once
#include "core/request.h"
#include "store/store.h"

struct control {
	sd_event *loop;
	struct store *store;
	const char *host;
	struct world world;
	struct store_view *requests, *outcomes, *apps, *names, *desired, *observed, *hosts, *alive;
	json_t *own; /* key -> revision of our writes that the views have not shown yet */
	sd_event_source *work, *tick, *lead;
	int64_t lease, leader_rev; /* leader_rev: of the key "leader" as we wrote it */
	bool leader;
	bool trouble; /* a write of this turn got no answer */
};

static const char leader_key[] = "leader";

/* leader.c: takes and keeps the lease; c->leader says whether we hold it. */
int leader_start(struct control *c, struct err *e) must_check;
void leader_stop(struct control *c);

/* work.c: everything there is to decide now. */
int work_start(struct control *c, struct err *e) must_check;
void work_soon(struct control *c);
void work_stop(struct control *c);

/* view.c: opens the views that feed c->world. */
int view_start(struct control *c, struct err *e) must_check;
void view_stop(struct control *c);
/* All views are whole and follow the store now: what is old decides nothing. */
bool view_ready(struct control *c);
/* Our own write, before the views show it: the next decision already counts on it. */
void view_wrote(struct control *c, const struct txn *t, int64_t rev);
