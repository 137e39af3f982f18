/* One leader: the key "leader" under a lease. Whoever holds it writes; the others wait until it is
 * gone. */
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "control/control.h"

enum { LEASE_S = 10, KEEP_US = 3 * 1000 * 1000, TRY_US = 1000 * 1000 };

/* Free, or left behind by this host's own former process: there is never a second one beside us. */
static bool may_take(struct control *c, int64_t *ret_rev)
{
	json_t *held = NULL;
	struct err e;
	int r = store_get(c->store, leader_key, &held, ret_rev, &e);
	if (r < 0) {
		*ret_rev = 0;
		return e.code == ERR_NOT_FOUND;
	}
	const char *host = json_string_value(json_object_get(held, "host"));
	bool ours = host && streq(host, c->host);
	json_decref(held);
	return ours;
}

static int take(struct control *c, struct err *e)
{
	int64_t rev = 0, lease = 0;
	if (!may_take(c, &rev))
		return -EAGAIN;
	int r = store_lease_grant(c->store, LEASE_S, &lease, e);
	if (r < 0)
		return r;
	char at[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(at, clock_wall_us());
	cleanup_json json_t *value =
	    json_pack("{s:i,s:s,s:s}", "v", 1, "host", c->host, "since", at);
	struct store_compare cmp = { leader_key, rev };
	struct store_op op = { STORE_PUT, leader_key, value, lease };
	r = store_txn(c->store, &cmp, 1, &op, 1, &c->leader_rev, e);
	if (r < 0) {
		struct err why;
		if (store_lease_revoke(c->store, lease, &why) < 0)
			log_err(&why, "an unused lease is left to run out");
		return r;
	}
	c->lease = lease;
	return 0;
}

static void set_leader(struct control *c, bool leader)
{
	if (c->leader == leader)
		return;
	c->leader = leader;
	log_info(leader ? "leading" : "no longer leading");
	work_soon(c);
}

static int on_time(sd_event_source *s, uint64_t usec, void *arg)
{
	struct control *c = arg;
	struct err e = { 0 };
	int64_t ttl = 0;
	if (c->leader) {
		int r = store_lease_keep(c->store, c->lease, &ttl, &e);
		if (r < 0)
			log_err(&e, "cannot keep the lease");
		/* Not heard: we may still hold it, but must not count on it. Each write
		 * is compared with the key as we wrote it, so a write of a leader that was one
		 * cannot undo a newer one's. */
		if (r < 0 || ttl <= 0)
			set_leader(c, false);
	}
	if (!c->leader) {
		int r = take(c, &e);
		if (r == 0)
			set_leader(c, true);
		else if (r != -EAGAIN)
			log_err(&e, "cannot take the lease");
	}
	uint64_t in = c->leader ? KEEP_US : TRY_US;
	return sd_event_source_set_time_relative(s, in) < 0 ||
	       sd_event_source_set_enabled(s, SD_EVENT_ONESHOT) < 0;
}

int leader_start(struct control *c, struct err *e)
{
	int r = sd_event_add_time_relative(c->loop, &c->lead, CLOCK_MONOTONIC, 0, 0, on_time, c);
	return r < 0 ? err_sys(e, -r, "cannot add a timer") : 0;
}

void leader_stop(struct control *c)
{
	struct err e;
	sd_event_source_unref(c->lead);
	c->lead = NULL;
	if (c->leader && store_lease_revoke(c->store, c->lease, &e) < 0)
		log_err(&e, "the lease is left to run out");
	c->leader = false;
}
