/* Deadlines of one event loop. Each class has one duration, so that its list is ordered by itself:
 * setting, moving and ending a deadline cost O(1), and looking for expired ones costs what has
 * expired. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum timer_class {
	TIMER_HANDSHAKE, /* TLS must stand */
	TIMER_HEAD,      /* a head must be whole after its first byte */
	TIMER_IDLE,      /* between requests */
	TIMER_EXCHANGE,  /* progress of a request in either direction */
	TIMER_PACE,      /* how much of a body must have come meanwhile */
	TIMER_TUNNEL,    /* bytes in a tunnel */
	TIMER_LINGER,    /* the client's rest, read and dropped, before closing */
	TIMER_CONNECT,   /* to a machine */
	TIMER_POOLED,    /* an unused connection to a machine */
	TIMER_CLASSES
};

struct timer {
	struct timer *prev, *next; /* NULL: not set */
	uint64_t at;
	void (*expired)(struct timer *t);
};

struct timers {
	struct timer list[TIMER_CLASSES];
};

void timers_init(struct timers *ts);
void timer_set(
    struct timers *ts, struct timer *t, enum timer_class c, uint64_t now_ms); /* sets or moves it */
void timer_clear(struct timer *t);
void timers_run(struct timers *ts, uint64_t now_ms);
int timers_wait(const struct timers *ts, uint64_t now_ms); /* ms to the next one, at most 250 */
