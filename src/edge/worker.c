/* ward-edge --worker: terminates TLS, parses requests, proxies. Gets listeners, tables and ticket
 * keys from the supervisor; asks nobody else but the key process, machines, and the API's socket.
 */
#include "edge/worker.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/log.h"
#include "base/str.h"
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { CLIENTS_MAX = 16384, BLOCKS_MAX = 8192 }; /* 320 MiB of blocks at most */

static void drain(struct worker *w)
{
	w->draining = true;
	listeners_close(w);
	for (struct client *c = w->clients, *next; c; c = next) {
		next = c->next;
		if (c->state == CLIENT_HEAD && !block_len(c->in) && !block_len(c->out))
			client_close(c);
	}
}

static void on_message(struct worker *w, const void *buf, size_t len, int *fds, size_t nfds)
{
	struct ipc_head head;
	struct err e = { 0 };
	memcpy(&head, buf, sizeof(head));
	if (head.type == EDGE_TABLE && len == sizeof(head) && nfds == 1) {
		if (table_adopt(w, fds[0], &e) < 0)
			log_err(&e, "a route table was refused, the last one goes on");
	} else if (head.type == EDGE_TICKETS && len == sizeof(struct edge_tickets)) {
		struct edge_tickets t;
		memcpy(&t, buf, sizeof(t));
		tls_tickets(w, &t);
		explicit_bzero(&t, sizeof(t));
	} else if (head.type == EDGE_DRAIN) {
		drain(w);
	}
}

static void on_control(struct watch *watch)
{
	struct worker *w =
	    (struct worker *)(void *)((char *)watch - offsetof(struct worker, control));
	for (;;) {
		char buf[sizeof(struct edge_tickets)];
		int fds[1];
		size_t len, nfds = countof(fds);
		struct err e;
		int r = ipc_recv(watch->fd, buf, sizeof(buf), &len, fds, &nfds, &e);
		if (r == -EAGAIN)
			return;
		if (r < 0 || len == 0) {
			/* the supervisor died: its successor starts workers of its own, this one
			 * ends when its clients have */
			epoll_ctl(w->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
			drain(w);
			return;
		}
		if (len >= sizeof(struct ipc_head))
			on_message(w, buf, len, fds, nfds);
		explicit_bzero(buf, sizeof(buf));
		for (size_t i = 0; i < nfds; i++)
			close(fds[i]);
	}
}

static int map_counters(struct worker *w, struct err *e)
{
	int fd = daemon_passed_fd("counters");
	void *p = mmap(NULL, sizeof(struct edge_counters) * EDGE_WORKERS_MAX,
	    PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "cannot map the counters");
	w->count = (struct edge_counters *)p + w->args->index;
	*w->count = (struct edge_counters){ 0 };
	close(fd);
	return 0;
}

static int init(struct worker *w, struct err *e)
{
	const struct edge_args *a = w->args;
	char api[sizeof(w->api->addr.un.sun_path)];
	snprintf(api, sizeof(api), "%s/api.sock", a->places.run);
	snprintf(w->api_host, sizeof(w->api_host), "api.%s", a->base_domain);
	timers_init(&w->timers);
	w->blocks.max = BLOCKS_MAX;
	w->now_ms = clock_mono_ms();
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files))
		return err_sys(e, errno, "cannot tell how many files may be open");
	/* each client may need a connection to a machine; a fifth is for those kept without one */
	w->idle_max = (unsigned)MIN(
	    (rlim_t)CLIENTS_MAX, files.rlim_cur > 192 ? (files.rlim_cur - 128) / 5 : 8);
	w->clients_max = MIN((unsigned)CLIENTS_MAX, 2 * w->idle_max);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0)
		return err_sys(e, errno, "cannot make an event loop");
	w->api = upstream_unix(w, api);
	if (!w->api)
		return err_set(e, ERR_NO_MEMORY, "no memory");
	int r = map_counters(w, e);
	if (r < 0)
		return r;
	w->control = (struct watch){ .fd = daemon_passed_fd("control"), .event = on_control };
	r = watch_add(w, &w->control, e);
	if (r >= 0)
		r = tls_init(w, e);
	if (r >= 0)
		r = keys_init(w, e);
	/* first what the supervisor has ready for us, then clients */
	if (r >= 0)
		on_control(&w->control);
	return r < 0 ? r : listeners_open(w, e);
}

int edge_worker(const struct edge_args *a)
{
	static struct worker w;
	struct err e;
	w.args = a;
	int r = init(&w, &e);
	/* TCP to machines and clients, unix sockets to the key process and the API; no files, no
	 * programs */
	if (r >= 0)
		r = confine(CONFINE_INET | CONFINE_UNIX, &e);
	if (r >= 0)
		r = worker_loop(&w, &e);
	if (r < 0)
		log_err(&e, "worker %u", a->index);
	return r < 0 ? 1 : 0;
}
