/* ward-init's event loop: epoll, edge-triggered where asked, and a few timers. Static glibc has no
 * sd-event. */
#pragma once
#include "base/util.h"
#include <sys/epoll.h>

struct watch {
	int fd; /* -1: not watched */
	void (*ready)(void *arg, uint32_t events);
	void *arg;
};

struct timer {
	uint64_t at_ms; /* monotonic; 0: off */
	void (*fired)(void *arg);
	void *arg;
	struct timer *next; /* the loop's */
	bool linked;
};

void loop_init(void);
void loop_add(
    struct watch *w, int fd, uint32_t events, void (*ready)(void *arg, uint32_t events), void *arg);
void loop_change(struct watch *w, uint32_t events);
void loop_remove(struct watch *w); /* does not close the fd; safe from inside any handler */
void loop_timer(struct timer *t, uint64_t in_ms, void (*fired)(void *arg), void *arg);
void loop_timer_off(struct timer *t);
void loop_run_once(void); /* waits for and handles one round of events */
