#include "edge/timer.h"

enum { WAIT_MAX_MS = 250 }; /* the loop has things of its own to look after */

static const uint64_t duration_ms[TIMER_CLASSES] = {
	[TIMER_HANDSHAKE] = 10000,
	[TIMER_HEAD] = 15000,
	[TIMER_IDLE] = 75000,
	[TIMER_EXCHANGE] = 120000,
	[TIMER_PACE] = 10000,
	[TIMER_TUNNEL] = 3600000,
	[TIMER_LINGER] = 2000,
	[TIMER_CONNECT] = 3000,
	[TIMER_POOLED] = 50000,
};

void timers_init(struct timers *ts)
{
	for (int i = 0; i < TIMER_CLASSES; i++)
		ts->list[i].prev = ts->list[i].next = &ts->list[i];
}

void timer_clear(struct timer *t)
{
	if (!t->next)
		return;
	t->prev->next = t->next;
	t->next->prev = t->prev;
	t->prev = t->next = NULL;
}

void timer_set(struct timers *ts, struct timer *t, enum timer_class c, uint64_t now_ms)
{
	struct timer *end = &ts->list[c];
	timer_clear(t);
	t->at = now_ms + duration_ms[c];
	t->prev = end->prev;
	t->next = end;
	end->prev->next = t;
	end->prev = t;
}

void timers_run(struct timers *ts, uint64_t now_ms)
{
	for (int i = 0; i < TIMER_CLASSES; i++)
		while (ts->list[i].next != &ts->list[i] && ts->list[i].next->at <= now_ms) {
			struct timer *t = ts->list[i].next;
			timer_clear(t);
			t->expired(t);
		}
}

int timers_wait(const struct timers *ts, uint64_t now_ms)
{
	uint64_t wait = WAIT_MAX_MS;
	for (int i = 0; i < TIMER_CLASSES; i++)
		if (ts->list[i].next != &ts->list[i]) {
			uint64_t at = ts->list[i].next->at, left = at > now_ms ? at - now_ms : 0;
			if (left < wait)
				wait = left;
		}
	return (int)wait;
}
