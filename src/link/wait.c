#include "base/str.h"
#include "link/link.h"

struct waiter {
	struct link *link;
	struct http_request *request; /* NULL: answered, about to go */
	const struct wait_kind *kind;
	uint64_t after;
	sd_event_source *timer;
	struct waiter *next;
};

static void waiter_gone(void *user)
{
	struct waiter *w = user;
	for (struct waiter **p = &w->link->waiters; *p; p = &(*p)->next)
		if (*p == w) {
			*p = w->next;
			break;
		}
	sd_event_source_disable_unref(w->timer);
	free(w);
}

static void answer(struct waiter *w)
{
	struct http_request *r = w->request;
	w->request = NULL; /* w may be gone once the answer is given */
	w->kind->answer(w->link, r, w->after);
}

static int on_late(sd_event_source *s, uint64_t usec, void *arg)
{
	struct waiter *w = arg;
	if (w->request)
		answer(w);
	return 0;
}

void wait_wake(struct link *l)
{
	for (struct waiter *w = l->waiters, *next; w; w = next) {
		next = w->next;
		if (w->request && w->kind->ready(l, w->after))
			answer(w);
	}
}

static bool number(struct http_request *r, const char *key, uint64_t max, uint64_t *ret)
{
	const char *text = http_query(r, key);
	return !text || str_u64(text, max, ret);
}

static unsigned waiting(const struct link *l)
{
	unsigned n = 0;
	for (const struct waiter *w = l->waiters; w; w = w->next)
		n++;
	return n;
}

void wait_for(struct link *l, struct http_request *r, const struct wait_kind *kind)
{
	struct err e = { 0 };
	uint64_t after = 0, ms = 0;
	if (!number(r, "after", INT64_MAX, &after) || !number(r, "wait_ms", WAIT_MAX_MS, &ms)) {
		err_set(&e, ERR_INVALID, "after and wait_ms are numbers; wait_ms is at most %d",
		    WAIT_MAX_MS);
		http_answer_err(r, &e);
		return;
	}
	struct waiter *w =
	    ms && !kind->ready(l, after) && waiting(l) < WAITERS_MAX ? calloc(1, sizeof *w) : NULL;
	if (w && sd_event_add_time_relative(
		     l->loop, &w->timer, CLOCK_MONOTONIC, ms * 1000, 1000, on_late, w) < 0) {
		free(w);
		w = NULL;
	}
	if (!w) {
		kind->answer(l, r, after);
		return;
	}
	w->link = l;
	w->request = r;
	w->kind = kind;
	w->after = after;
	w->next = l->waiters;
	l->waiters = w;
	http_set_user(r, w, waiter_gone);
}
