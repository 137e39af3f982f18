#include "base/clock.h"
#include "edge/worker.h"
#include <sys/epoll.h>

enum { EVENTS = 256, PATIENCE_MS = 5000 };

int watch_add(struct worker *w, struct watch *watch, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = watch };
	if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, watch->fd, &ev))
		return err_sys(e, errno, "cannot watch a socket");
	return 0;
}

static void dig(struct worker *w)
{
	while (w->graves) {
		struct watch *dead = w->graves;
		w->graves = dead->grave;
		free(dead);
	}
}

void watch_bury(struct worker *w, struct watch *watch)
{
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = -1;
	watch->grave = w->graves; /* events of this round may still point to it */
	w->graves = watch;
}

/* A new worker lets the others, or the backlog, have the clients until it can serve them. */
static void begin_serving(struct worker *w)
{
	bool able = w->table && w->certificates_ready;
	if (!able && w->now_ms < w->started_ms + PATIENCE_MS)
		return;
	w->serving = true;
	listeners_resume(w);
}

static void run_ready(struct worker *w)
{
	/* those that become ready meanwhile wait for the next round, so that one busy client
	 * starves nobody */
	struct client *list = w->ready;
	w->ready = NULL;
	while (list) {
		struct client *c = list;
		list = c->ready;
		c->is_ready = false;
		if (!c->dead)
			client_run(c);
	}
}

int worker_loop(struct worker *w, struct err *e)
{
	struct epoll_event ev[EVENTS];
	uint64_t tick = 0;
	w->started_ms = w->now_ms;
	while (!w->draining || w->clients) {
		int wait = w->ready ? 0 : timers_wait(&w->timers, w->now_ms);
		int n = epoll_wait(w->epoll, ev, EVENTS, wait);
		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "cannot wait for events");
		w->now_ms = clock_mono_ms();
		for (int i = 0; i < n; i++) {
			struct watch *watch = ev[i].data.ptr;
			if (watch->fd < 0)
				continue;
			if (ev[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
				watch->readable = true;
			if (ev[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
				watch->writable = true;
			if (ev[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
				watch->hangup = true;
			watch->event(watch);
		}
		run_ready(w);
		timers_run(&w->timers, w->now_ms);
		keys_flush(w);
		if (!w->serving)
			begin_serving(w);
		if (w->now_ms >= tick) {
			keys_tick(w);
			tick = w->now_ms + 250;
			if (w->nclients < w->clients_max)
				listeners_resume(w); /* after a shortage of files or memory */
			w->count->clients = w->nclients;
			w->count->blocks = w->blocks.nused;
		}
		dig(w);
	}
	return 0;
}
