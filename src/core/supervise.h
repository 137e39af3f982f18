/* What wardd does next with its daemons: which to start, to ask to stop, to kill. Pure: facts and
 * the time go in, actions come out. Units are numbered by the caller, at most 32. */
#pragma once
#include "base/util.h"

enum { SUPERVISE_UNITS_MAX = 32 };
enum {
	SUPERVISE_BACKOFF_MIN_MS = 100,
	SUPERVISE_BACKOFF_MAX_MS = 30000,
	SUPERVISE_STABLE_MS = 60000, /* running this long forgets earlier failures */
	SUPERVISE_STOP_MS = 10000,   /* after the polite signal, before the other */
};

enum unit_state {
	UNIT_DOWN, /* not running; may be started from not_before_ms on */
	UNIT_UP,
	UNIT_DONE,     /* a one-shot that succeeded */
	UNIT_STOPPING, /* was asked to stop */
	UNIT_KILLED,   /* was killed, its end is not seen yet */
};

struct unit {
	bool wanted, oneshot;
	/* bit i: unit i must be up, or done, before the first start of this one; and ends after it
	 */
	uint32_t after;
	enum unit_state state;
	unsigned failures; /* in a row, for the back-off */
	uint32_t restarts; /* starts after the first */
	uint64_t started_ms, not_before_ms, kill_at_ms;
	bool started_once;
};

struct supervise {
	struct unit unit[SUPERVISE_UNITS_MAX];
	unsigned n;
	bool stopping; /* set by supervise_stop */
};

enum supervise_what { SUPERVISE_START, SUPERVISE_TERM, SUPERVISE_KILL };
struct supervise_action {
	enum supervise_what what;
	unsigned unit;
};

/* Milliseconds to wait before the start that follows `failures` failures in a row. */
uint64_t supervise_backoff(unsigned failures);

/* What to do at time now, into ret[n]; each action is assumed carried out: tell a failed start by
 * supervise_ended. *ret_wake_ms is when to ask again, UINT64_MAX: not before something happens. */
unsigned supervise_next(struct supervise *s, uint64_t now,
    struct supervise_action ret[SUPERVISE_UNITS_MAX], uint64_t *ret_wake_ms);

void supervise_adopted(
    struct supervise *s, unsigned unit, uint64_t started_ms); /* it was running already */
/* It ended. ok: exit code 0, which for a one-shot means it is done. */
void supervise_ended(struct supervise *s, unsigned unit, uint64_t now, bool ok);

void supervise_stop(struct supervise *s);
bool supervise_stopped(const struct supervise *s); /* stopping, and nothing runs any more */
