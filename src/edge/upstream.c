/* Machines and the connections to them, kept alive between requests. */
#include "edge/worker.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

enum { IDLE_MAX = 64 };

static struct upstream **place(struct worker *w, const struct route_backend *b)
{
	uint32_t ip;
	memcpy(&ip, b->ipv4, 4);
	uint32_t h = (ip ^ (uint32_t)b->port << 16 ^ b->port) * 2654435761u;
	return &w->upstreams[h >> 20];
}
_Static_assert(UPSTREAM_PLACES == 1 << 12, "place() takes the upper 12 bits");

struct upstream *upstream_get(struct worker *w, const struct route_backend *b)
{
	struct upstream **chain = place(w, b);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(b->port) };
	memcpy(&a.sin_addr, b->ipv4, 4);
	for (struct upstream *u = *chain; u; u = u->next)
		if (u->addr.in.sin_addr.s_addr == a.sin_addr.s_addr &&
		    u->addr.in.sin_port == a.sin_port) {
			if (!strcmp(u->machine, b->machine)) {
				u->refs++;
				return u;
			}
			u->replaced = w->replaced = true;
		}
	struct upstream *u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->addr.in = a;
	memcpy(u->machine, b->machine, sizeof(u->machine));
	u->addr_len = sizeof(a);
	u->refs = 1;
	u->next = *chain;
	*chain = u;
	return u;
}

struct upstream *upstream_unix(struct worker *w, const char *path)
{
	struct upstream *u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->addr.un.sun_family = AF_UNIX;
	snprintf(u->addr.un.sun_path, sizeof(u->addr.un.sun_path), "%s", path);
	u->addr_len = sizeof(u->addr.un);
	u->refs = u->tables = 1;
	return u;
}

void upstream_put(struct worker *w, struct upstream *u)
{
	if (--u->refs)
		return;
	struct route_backend b = { .port = ntohs(u->addr.in.sin_port) };
	memcpy(b.ipv4, &u->addr.in.sin_addr, 4);
	for (struct upstream **p = place(w, &b); *p; p = &(*p)->next)
		if (*p == u) {
			*p = u->next;
			break;
		}
	free(u);
}

static void unlink_idle(struct upconn *uc)
{
	if (!uc->link)
		return;
	*uc->link = uc->next;
	if (uc->next)
		uc->next->link = uc->link;
	uc->link = NULL;
	uc->next = NULL;
	uc->u->nidle--;
	uc->w->nidle--;
}

void upconn_close(struct upconn *uc)
{
	unlink_idle(uc);
	timer_clear(&uc->timer);
	block_put(&uc->w->blocks, uc->in);
	uc->in = NULL;
	upstream_put(uc->w, uc->u);
	watch_bury(uc->w, &uc->watch);
}

void upstream_drop_idle(struct worker *w, struct upstream *u)
{
	u->refs++;
	while (u->idle)
		upconn_close(u->idle);
	upstream_put(w, u);
}

void upstream_end_replaced(struct worker *w)
{
	for (struct client *c = w->clients, *next; w->replaced && c; c = next) {
		next = c->next;
		if (c->state == CLIENT_EXCHANGE && c->x.up && c->x.up->u->replaced)
			client_close(c);
	}
	w->replaced = false;
}

static void on_upstream(struct watch *watch)
{
	struct upconn *uc = (struct upconn *)watch;
	struct client *c = uc->client;
	if (!c) {
		/* nothing may come unasked: it closed, or what it says belongs to nobody */
		if (watch->readable || watch->hangup)
			upconn_close(uc);
		return;
	}
	if (uc->connected) {
		client_run(c);
		return;
	}
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (!error && watch->hangup)
		error = ECONNREFUSED;
	if (error) {
		timer_clear(&uc->timer);
		exchange_failed(c, error);
	} else if (watch->writable) {
		uc->connected = true;
		timer_clear(&uc->timer);
		exchange_connected(c);
	}
}

static void on_expired(struct timer *t)
{
	struct upconn *uc = (struct upconn *)(void *)((char *)t - offsetof(struct upconn, timer));
	if (uc->client)
		exchange_failed(uc->client, ETIMEDOUT);
	else
		upconn_close(uc);
}

/* Whether a kept connection is still quiet. What came unasked, after a longer body than announced,
 * say, would be taken for the next client's answer; and its end, for the end of a request that
 * cannot be sent twice. */
static bool is_quiet(const struct upconn *uc)
{
	char b;
	return recv(uc->watch.fd, &b, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	       (errno == EAGAIN || errno == EINTR);
}

static struct upconn *take_kept(struct upstream *u, struct client *c)
{
	while (u->idle) {
		struct upconn *uc = u->idle;
		unlink_idle(uc);
		timer_clear(&uc->timer);
		if (!is_quiet(uc)) {
			upconn_close(uc);
			continue;
		}
		uc->client = c;
		uc->reused = true;
		return uc;
	}
	return NULL;
}

struct upconn *upconn_open(
    struct worker *w, struct upstream *u, struct client *c, bool fresh, int *ret_error)
{
	struct upconn *uc = fresh ? NULL : take_kept(u, c);
	if (uc)
		return uc;
	*ret_error = ENOMEM;
	uc = calloc(1, sizeof(*uc));
	if (!uc)
		return NULL;
	int fd = socket(u->addr.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		goto failed;
	int on = 1;
	if (u->addr.any.sa_family == AF_INET)
		(void)setsockopt(
		    fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* only slower without */
	int r = connect(fd, &u->addr.any, u->addr_len);
	if (r && errno != EINPROGRESS)
		goto failed;
	*uc = (struct upconn){ .watch = { .fd = fd, .event = on_upstream, .writable = r == 0 },
		.w = w,
		.u = u,
		.client = c,
		.connected = r == 0 };
	uc->timer.expired = on_expired;
	struct err e;
	if (watch_add(w, &uc->watch, &e) < 0)
		goto failed;
	if (!uc->connected)
		timer_set(&w->timers, &uc->timer, TIMER_CONNECT, w->now_ms);
	u->refs++;
	w->count->connects++;
	return uc;
failed:
	*ret_error = errno;
	if (fd >= 0)
		close(fd);
	free(uc);
	return NULL;
}

void upconn_keep(struct upconn *uc)
{
	struct upstream *u = uc->u;
	struct worker *w = uc->w;
	if (!u->tables || u->nidle >= IDLE_MAX || w->nidle >= w->idle_max || w->draining ||
	    uc->watch.hangup || (uc->watch.readable && !is_quiet(uc))) {
		upconn_close(uc);
		return;
	}
	uc->watch.readable = false;
	block_put(&w->blocks, uc->in);
	uc->in = NULL;
	uc->scanned = 0;
	uc->next = u->idle;
	uc->link = &u->idle;
	if (uc->next)
		uc->next->link = &uc->next;
	u->idle = uc;
	u->nidle++;
	w->nidle++;
	timer_set(&w->timers, &uc->timer, TIMER_POOLED, w->now_ms);
}
