#include "guest/loop.h"
#include "base/clock.h"
#include <errno.h>

enum { EVENTS = 32 };

static int ep = -1;
static struct timer *timers;
/* The round being handled: loop_remove blanks what is still to come in it, so that no handler runs
 * for a watch that an earlier handler of the same round took away (and perhaps freed). */
static struct epoll_event round_events[EVENTS];
static int round_at, round_count;

void loop_init(void)
{
	ep = epoll_create1(EPOLL_CLOEXEC);
}

void loop_add(
    struct watch *w, int fd, uint32_t events, void (*ready)(void *arg, uint32_t events), void *arg)
{
	*w = (struct watch){ .fd = fd, .ready = ready, .arg = arg };
	struct epoll_event ev = { .events = events, .data.ptr = w };
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		w->fd = -1;
}

void loop_change(struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };
	if (w->fd >= 0)
		(void)epoll_ctl(ep, EPOLL_CTL_MOD, w->fd, &ev);
}

void loop_remove(struct watch *w)
{
	if (w->fd < 0)
		return;
	(void)epoll_ctl(ep, EPOLL_CTL_DEL, w->fd, NULL);
	w->fd = -1;
	for (int i = round_at; i < round_count; i++)
		if (round_events[i].data.ptr == w)
			round_events[i].data.ptr = NULL;
}

void loop_timer_off(struct timer *t)
{
	for (struct timer **p = &timers; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			break;
		}
	t->linked = false;
	t->at_ms = 0;
}

void loop_timer(struct timer *t, uint64_t in_ms, void (*fired)(void *arg), void *arg)
{
	if (t->linked)
		loop_timer_off(t);
	*t = (struct timer){ .at_ms = clock_mono_ms() + in_ms,
		.fired = fired,
		.arg = arg,
		.next = timers,
		.linked = true };
	timers = t;
}

static int next_wait(uint64_t now)
{
	uint64_t best = 60000;
	for (struct timer *t = timers; t; t = t->next)
		best = MIN(best, t->at_ms > now ? t->at_ms - now : 0);
	return (int)best;
}

void loop_run_once(void)
{
	round_count = epoll_wait(ep, round_events, EVENTS, next_wait(clock_mono_ms()));
	for (round_at = 0; round_at < round_count;) {
		struct epoll_event *ev = &round_events[round_at++];
		struct watch *w = ev->data.ptr;
		if (w)
			w->ready(w->arg, ev->events);
	}
	round_count = round_at = 0;
	uint64_t now = clock_mono_ms();
	for (bool again = true; again;) {
		again = false;
		for (struct timer *t = timers; t; t = t->next)
			if (t->at_ms <= now) {
				loop_timer_off(t);
				t->fired(t->arg);
				again = true; /* the list may be another now */
				break;
			}
	}
}
