#include "core/checks.h"
#include "base/util.h"

const char *check_status_name(enum check_status s)
{
	return s == CHECK_PASSING ? "passing" : s == CHECK_CRITICAL ? "critical" : "warning";
}

static uint64_t bound(uint64_t v, uint64_t min, uint64_t max)
{
	return v < min ? min : v > max ? max : v;
}

void check_times_bound(struct check_times *t)
{
	t->interval_ms = bound(t->interval_ms, CHECK_MIN_MS, CHECK_MAX_MS);
	t->timeout_ms = bound(t->timeout_ms, CHECK_MIN_MS, CHECK_MAX_MS);
	t->grace_ms = bound(t->grace_ms, 0, CHECK_MAX_MS);
}

void check_begin(struct check *c, enum check_status known, uint64_t now)
{
	*c = (struct check){ .status = known,
		.ever_passed = known == CHECK_PASSING,
		.begun_at = now,
		.next_at = now };
}

bool check_due(struct check *c, const struct check_times *t, uint64_t now, uint64_t *ret_next)
{
	if (c->running) {
		*ret_next = UINT64_MAX;
		return false;
	}
	if (now < c->next_at) {
		*ret_next = c->next_at;
		return false;
	}
	c->running = true;
	*ret_next = UINT64_MAX;
	return true;
}

bool check_result(struct check *c, const struct check_times *t, bool passed, uint64_t now)
{
	enum check_status before = c->status;
	c->running = false;
	c->failures = passed ? 0 : c->failures + 1;
	if (passed) {
		c->status = CHECK_PASSING;
		c->ever_passed = true;
	} else if (c->ever_passed || now - c->begun_at >= t->grace_ms) {
		c->status = CHECK_CRITICAL;
	}
	/* eager at first, then twice as long each time, up to what was asked for */
	uint64_t wait = t->interval_ms;
	if (!c->ever_passed && c->failures < 16)
		wait = MIN((uint64_t)CHECK_EAGER_MS << (c->failures / 4), t->interval_ms);
	c->next_at = now + wait;
	return c->status != before;
}
