/* What to do when an app has ended by itself: again (and when), or leave it, and as what. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

enum restart_kind { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS };
enum {
	RESTART_RETRIES_DEFAULT = 10,
	RESTART_WINDOW_MS = 5 * 60 * 1000, /* a run as long as this wipes the slate clean */
	RESTART_FIRST_MS = 1000,           /* back-off: this, doubled at each failure, */
	RESTART_LONGEST_MS = 60 * 1000,    /* at most this */
};

struct restart_policy {
	enum restart_kind kind;
	unsigned max_retries; /* on-failure alone */
};

/* Failures one after another, with less than a window of good running between them. With back-off
 * to 60 s ten retries take longer than five minutes, so a sliding window would never trip. */
struct restart_count {
	unsigned failures;
};

enum restart_verdict { RESTART_AGAIN, RESTART_LEAVE_STOPPED, RESTART_LEAVE_FAILED };

const char *restart_kind_name(enum restart_kind k); /* "no", "on-failure", "always" */
bool restart_kind_find(const char *name, enum restart_kind *ret);

/* failed: it did not end with exit code 0. ran_ms: how long the app ran. Updates *c; *ret_delay_ms
 * is meaningful for RESTART_AGAIN. */
enum restart_verdict restart_decide(const struct restart_policy *p, struct restart_count *c,
    bool failed, uint64_t ran_ms, uint64_t *ret_delay_ms);
