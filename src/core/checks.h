/* When a machine's check is due and what its results mean. Pure: the edge's watcher connects and
 * asks, and tells here how it went. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
	CHECK_INTERVAL_MS = 15000, /* defaults; the Machines API's bounds are 1 s and 1 min */
	CHECK_TIMEOUT_MS = 2000,
	CHECK_GRACE_MS = 5000,
	CHECK_MIN_MS = 1000,
	CHECK_MAX_MS = 60000,
	CHECK_EAGER_MS =
	    250, /* until the first pass, so that a deploy need not wait for a whole interval */
};

enum check_status {
	CHECK_WARNING,
	CHECK_PASSING,
	CHECK_CRITICAL
}; /* warning: nothing is known yet */
const char *check_status_name(enum check_status s);

struct check_times {
	uint64_t interval_ms, timeout_ms, grace_ms;
};

struct check {
	enum check_status status;
	bool running, ever_passed;
	uint64_t begun_at, next_at; /* monotonic ms */
	unsigned failures;          /* in a row */
};

/* Raises and lowers what users wrote to what is allowed. */
void check_times_bound(struct check_times *t);

/* The machine runs (again). known: what was found out about this very run before (by an earlier
 * watcher), CHECK_WARNING if nothing. */
void check_begin(struct check *c, enum check_status known, uint64_t now);

/* True when the check must be carried out now; then check_result must follow within the time-out.
 * *ret_next is when to ask again. */
bool check_due(struct check *c, const struct check_times *t, uint64_t now, uint64_t *ret_next);

/* How it went. True when the status changed. One failure suffices; in the grace period before the
 * first pass failures do not count. */
bool check_result(struct check *c, const struct check_times *t, bool passed, uint64_t now);
