#include "core/restart.h"
#include "base/str.h"

static const char *const kind_names[] = { "no", "on-failure", "always" };

const char *restart_kind_name(enum restart_kind k)
{
	return kind_names[k];
}

bool restart_kind_find(const char *name, enum restart_kind *ret)
{
	for (size_t i = 0; i < countof(kind_names); i++)
		if (streq(name, kind_names[i])) {
			*ret = (enum restart_kind)i;
			return true;
		}
	return false;
}

static uint64_t backoff_ms(unsigned failures)
{
	if (!failures)
		return RESTART_FIRST_MS;
	if (failures > 6)
		return RESTART_LONGEST_MS;
	uint64_t ms = (uint64_t)RESTART_FIRST_MS << (failures - 1);
	return ms < RESTART_LONGEST_MS ? ms : RESTART_LONGEST_MS;
}

enum restart_verdict restart_decide(const struct restart_policy *p, struct restart_count *c,
    bool failed, uint64_t ran_ms, uint64_t *ret_delay_ms)
{
	if (ran_ms >= RESTART_WINDOW_MS)
		c->failures = 0;
	if (p->kind == RESTART_NO)
		return RESTART_LEAVE_STOPPED;
	if (p->kind == RESTART_ON_FAILURE && !failed)
		return RESTART_LEAVE_STOPPED;
	/* An app under "always" that ends well at once would spin as fast as one that fails. */
	c->failures++;
	if (p->kind == RESTART_ON_FAILURE && c->failures > p->max_retries)
		return RESTART_LEAVE_FAILED;
	*ret_delay_ms = backoff_ms(c->failures);
	return RESTART_AGAIN;
}
