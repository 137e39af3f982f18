#include "edge/worker.h"
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>

enum { ACCEPTS_A_ROUND = 32 };

static void set_events(struct listener *l, uint32_t events)
{
	/* shared by all workers: only one is woken, and by level, since accepting stops at a bound;
	 * EPOLLEXCLUSIVE cannot be modified, so pausing takes the listener out and resuming puts it
	 * in again */
	struct epoll_event ev = { .events = events | EPOLLEXCLUSIVE, .data.ptr = &l->watch };
	epoll_ctl(l->w->epoll, events ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, l->watch.fd, &ev);
	l->paused = !events;
}

static void on_listener(struct watch *watch)
{
	struct listener *l = (struct listener *)watch;
	struct worker *w = l->w;
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		if (w->nclients >= w->clients_max) {
			set_events(l, 0);
			return;
		}
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer);
		int fd = accept4(
		    watch->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			    errno == ENOBUFS)
				set_events(l, 0); /* client_close resumes it */
			return;
		}
		int on = 1;
		(void)setsockopt(
		    fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* only slower without */
		client_new(w, fd, l, &peer);
	}
}

static int open_one(struct worker *w, const char *kind, int i, bool tls, struct err *e)
{
	char name[16];
	snprintf(name, sizeof(name), "%s-%d", kind, i);
	int fd = daemon_passed_fd(name);
	if (fd < 0)
		return 0;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} own = { 0 };
	socklen_t len = sizeof(own);
	if (getsockname(fd, &own.any, &len))
		return err_sys(e, errno, "the passed fd %s is no socket", name);
	struct listener *l = &w->listeners[w->nlisteners];
	*l = (struct listener){ .watch = { .fd = fd, .event = on_listener }, .w = w, .tls = tls };
	l->port = ntohs(own.any.sa_family == AF_INET6 ? own.v6.sin6_port : own.v4.sin_port);
	l->paused = true; /* until there is something to serve with */
	if (tls && !w->https_port)
		w->https_port = l->port;
	w->nlisteners++;
	return 0;
}

int listeners_open(struct worker *w, struct err *e)
{
	for (int i = 0; i < EDGE_LISTENERS_MAX / 2; i++) {
		int r = open_one(w, "https", i, true, e);
		if (r >= 0)
			r = open_one(w, "http", i, false, e);
		if (r < 0)
			return r;
	}
	if (!w->nlisteners)
		return err_set(
		    e, ERR_INVALID, "no listening socket was passed (https-0, http-0, ...)");
	return 0;
}

void listeners_resume(struct worker *w)
{
	if (w->draining || !w->serving)
		return;
	for (size_t i = 0; i < w->nlisteners; i++)
		if (w->listeners[i].paused)
			set_events(&w->listeners[i], EPOLLIN);
}

void listeners_close(struct worker *w)
{
	for (size_t i = 0; i < w->nlisteners; i++) {
		if (!w->listeners[i].paused)
			set_events(&w->listeners[i], 0);
		close(w->listeners[i].watch.fd);
		w->listeners[i].watch.fd = -1;
	}
}
