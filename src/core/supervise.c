#include "core/supervise.h"

uint64_t supervise_backoff(unsigned failures)
{
	if (!failures)
		return 0;
	uint64_t ms = SUPERVISE_BACKOFF_MIN_MS;
	for (unsigned i = 1; i < failures && ms < SUPERVISE_BACKOFF_MAX_MS; i++)
		ms *= 2;
	return MIN(ms, (uint64_t)SUPERVISE_BACKOFF_MAX_MS);
}

static bool runs(const struct unit *u)
{
	return u->state == UNIT_UP || u->state == UNIT_STOPPING || u->state == UNIT_KILLED;
}

/* What waits for a one-shot waits for its end. Who ran before does not wait again: it must be able
 * to come back while what it came after is down. */
static bool ready(const struct supervise *s, const struct unit *u)
{
	if (u->started_once && !u->oneshot)
		return true;
	for (unsigned i = 0; i < s->n; i++) {
		const struct unit *other = &s->unit[i];
		bool fine =
		    other->state == UNIT_DONE || (other->state == UNIT_UP && !other->oneshot);
		if ((u->after & (1U << i)) && other->wanted && !fine)
			return false;
	}
	return true;
}

/* All that unit i comes after, directly or by way of others. */
static uint32_t all_before(const struct supervise *s, unsigned i)
{
	uint32_t all = s->unit[i].after, grown = all;
	do {
		all = grown;
		for (unsigned k = 0; k < s->n; k++)
			if (all & (1U << k))
				grown |= s->unit[k].after;
	} while (grown != all);
	return all;
}

/* Does nothing that was started after it still run? */
static bool last(const struct supervise *s, unsigned unit)
{
	for (unsigned i = 0; i < s->n; i++)
		if (runs(&s->unit[i]) && (all_before(s, i) & (1U << unit)))
			return false;
	return true;
}

static bool next_for(
    struct supervise *s, unsigned i, uint64_t now, enum supervise_what *what, uint64_t *wake)
{
	struct unit *u = &s->unit[i];
	switch (u->state) {
	case UNIT_DONE:
	case UNIT_KILLED: return false;
	case UNIT_DOWN:
		if (s->stopping || !u->wanted || !ready(s, u))
			return false;
		if (now < u->not_before_ms) {
			*wake = MIN(*wake, u->not_before_ms);
			return false;
		}
		u->state = UNIT_UP;
		u->started_ms = now;
		u->restarts += u->started_once;
		u->started_once = true;
		*what = SUPERVISE_START;
		return true;
	case UNIT_UP:
		if (!s->stopping || !last(s, i))
			return false;
		u->state = UNIT_STOPPING;
		u->kill_at_ms = now + SUPERVISE_STOP_MS;
		*wake = MIN(*wake, u->kill_at_ms);
		*what = SUPERVISE_TERM;
		return true;
	case UNIT_STOPPING:
		if (now < u->kill_at_ms) {
			*wake = MIN(*wake, u->kill_at_ms);
			return false;
		}
		u->state = UNIT_KILLED;
		*what = SUPERVISE_KILL;
		return true;
	}
	return false;
}

unsigned supervise_next(struct supervise *s, uint64_t now,
    struct supervise_action ret[SUPERVISE_UNITS_MAX], uint64_t *ret_wake_ms)
{
	unsigned n = 0;
	uint64_t wake = UINT64_MAX;
	for (unsigned i = 0; i < s->n; i++) {
		enum supervise_what what;
		if (next_for(s, i, now, &what, &wake))
			ret[n++] = (struct supervise_action){ what, i };
	}
	*ret_wake_ms = wake;
	return n;
}

void supervise_adopted(struct supervise *s, unsigned unit, uint64_t started_ms)
{
	struct unit *u = &s->unit[unit];
	u->state = UNIT_UP;
	u->started_ms = started_ms;
	u->started_once = true;
}

void supervise_ended(struct supervise *s, unsigned unit, uint64_t now, bool ok)
{
	struct unit *u = &s->unit[unit];
	if (u->oneshot && ok) {
		u->state = UNIT_DONE;
		u->failures = 0;
		return;
	}
	/* what a one-shot did to this unit must be done again to the next run of it */
	for (unsigned i = 0; i < s->n; i++)
		if (s->unit[i].state == UNIT_DONE && (s->unit[i].after & (1U << unit)))
			s->unit[i].state = UNIT_DOWN;
	if (now - u->started_ms >= SUPERVISE_STABLE_MS)
		u->failures = 0;
	if (u->failures < 32)
		u->failures++;
	u->state = UNIT_DOWN;
	u->not_before_ms = now + supervise_backoff(u->failures);
}

void supervise_stop(struct supervise *s)
{
	s->stopping = true;
}

bool supervise_stopped(const struct supervise *s)
{
	if (!s->stopping)
		return false;
	for (unsigned i = 0; i < s->n; i++)
		if (runs(&s->unit[i]))
			return false;
	return true;
}
