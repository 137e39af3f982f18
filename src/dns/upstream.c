#include "dns/upstream.h"
#include "base/str.h"
#include "dns/packet.h"
#include <arpa/inet.h>
#include <sodium.h>
#include <sys/socket.h>

struct upstream {
	sd_event *loop;
	struct sockaddr_storage server[UPSTREAM_SERVERS_MAX];
	size_t servers, pending;
};

struct exchange {
	struct upstream *up;
	upstream_fn fn;
	void *arg;
	bool tcp;
	int fd;
	sd_event_source *io, *timer;
	unsigned tries;
	uint8_t id[2];    /* ours on the wire: the asker's is put back into the answer */
	size_t len, done; /* of the query, with TCP's two bytes of length before it */
	uint8_t query[2 + PACKET_QUERY_MAX];
	size_t got; /* of a TCP answer, the same */
	uint8_t answer[2 + PACKET_TCP_MAX];
};

static int parse_address(struct sockaddr_storage *to, const char *text, struct err *e)
{
	char host[INET6_ADDRSTRLEN];
	uint64_t port = 53;
	const char *hash = strchr(text, '#');
	size_t n = hash ? (size_t)(hash - text) : strlen(text);
	struct sockaddr_in *four = (struct sockaddr_in *)to;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;
	if (n < sizeof(host) && (!hash || (str_u64(hash + 1, 65535, &port) && port))) {
		memcpy(host, text, n);
		host[n] = 0;
		*to = (struct sockaddr_storage){ 0 };
		if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
			four->sin_family = AF_INET;
			four->sin_port = htons((uint16_t)port);
			return 0;
		}
		if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
			six->sin6_family = AF_INET6;
			six->sin6_port = htons((uint16_t)port);
			return 0;
		}
	}
	return err_set(
	    e, ERR_INVALID, "--upstream takes an address, or address#port, not \"%s\"", text);
}

int upstream_new(
    struct upstream **ret, sd_event *loop, const char *const *address, size_t n, struct err *e)
{
	if (n > UPSTREAM_SERVERS_MAX)
		return err_set(e, ERR_INVALID, "at most %d --upstream", UPSTREAM_SERVERS_MAX);
	struct upstream *u = calloc(1, sizeof(*u));
	if (!u)
		return err_set(e, ERR_NO_MEMORY, "no memory for the upstream resolvers");
	u->loop = loop;
	for (size_t i = 0; i < n; i++) {
		int r = parse_address(&u->server[u->servers++], address[i], e);
		if (r < 0) {
			free(u);
			return r;
		}
	}
	*ret = u;
	return 0;
}

size_t upstream_servers(const struct upstream *u)
{
	return u->servers;
}

static void hang_up(struct exchange *x)
{
	x->io = sd_event_source_disable_unref(x->io);
	x->timer = sd_event_source_disable_unref(x->timer);
	if (x->fd >= 0)
		close(steal_fd(&x->fd));
}

void upstream_cancel(struct exchange *x)
{
	if (!x)
		return;
	hang_up(x);
	x->up->pending--;
	free(x);
}

static void finish(struct exchange *x, uint8_t *answer, size_t len)
{
	if (answer)
		memcpy(answer, x->query + 2, 2);
	hang_up(x);
	x->fn(x->arg, answer, len);
	x->up->pending--;
	free(x);
}

static int dial(struct exchange *x);

/* The next server, or the end. */
static void fail(struct exchange *x)
{
	hang_up(x);
	while (x->tries < MIN(2 * x->up->servers, (size_t)UPSTREAM_TRIES_MAX))
		if (dial(x) == 0)
			return;
	finish(x, NULL, 0);
}

static int on_time(sd_event_source *s, uint64_t now, void *arg)
{
	fail(arg);
	return 0;
}

static bool fits(const struct exchange *x, const uint8_t *answer, size_t len)
{
	return len >= 2 && !memcmp(answer, x->id, 2) &&
	       packet_fits(x->query + 2, x->len, answer, len);
}

static void on_datagram(struct exchange *x)
{
	ssize_t n = recv(x->fd, x->answer, PACKET_TCP_MAX, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		fail(x); /* refused, unreachable */
	else if (fits(x, x->answer, (size_t)n))
		finish(x, x->answer, (size_t)n);
}

static int on_udp(sd_event_source *s, int fd, uint32_t events, void *arg)
{
	on_datagram(arg);
	return 0;
}

static void send_stream(struct exchange *x)
{
	size_t whole = 2 + x->len;
	uint8_t out[2 + PACKET_QUERY_MAX];
	memcpy(out, x->query, whole);
	memcpy(out + 2, x->id, 2);
	ssize_t n = send(x->fd, out + x->done, whole - x->done, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		fail(x);
		return;
	}
	x->done += n > 0 ? (size_t)n : 0;
	if (x->done == whole && sd_event_source_set_io_events(x->io, EPOLLIN) < 0)
		fail(x);
}

static void receive_stream(struct exchange *x)
{
	ssize_t n = recv(x->fd, x->answer + x->got, sizeof(x->answer) - x->got, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(x);
		return;
	}
	x->got += (size_t)n;
	size_t len = x->got >= 2 ? (size_t)x->answer[0] << 8 | x->answer[1] : 0;
	if (x->got < 2 || x->got < 2 + len)
		return;
	if (fits(x, x->answer + 2, len))
		finish(x, x->answer + 2, len);
	else
		fail(x);
}

static int on_tcp(sd_event_source *s, int fd, uint32_t events, void *arg)
{
	struct exchange *x = arg;
	if (events & (EPOLLERR | EPOLLHUP) && !(events & EPOLLIN))
		fail(x);
	else if (events & EPOLLOUT)
		send_stream(x);
	else
		receive_stream(x);
	return 0;
}

static int dial(struct exchange *x)
{
	const struct sockaddr_storage *to = &x->up->server[x->tries++ % x->up->servers];
	socklen_t size =
	    to->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	x->done = x->got = 0;
	randombytes_buf(x->id, sizeof(x->id));
	x->fd = socket(
	    to->ss_family, (x->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (x->fd < 0 ||
	    (connect(x->fd, (const struct sockaddr *)to, size) && errno != EINPROGRESS))
		goto failed;
	if (!x->tcp) {
		uint8_t out[PACKET_QUERY_MAX];
		memcpy(out, x->query + 2, x->len);
		memcpy(out, x->id, 2);
		if (send(x->fd, out, x->len, MSG_NOSIGNAL) < 0)
			goto failed;
	}
	if (sd_event_add_io(x->up->loop, &x->io, x->fd, x->tcp ? EPOLLOUT : EPOLLIN,
		x->tcp ? on_tcp : on_udp, x) < 0 ||
	    sd_event_add_time_relative(x->up->loop, &x->timer, CLOCK_MONOTONIC,
		UPSTREAM_TRY_MS * 1000ULL, 0, on_time, x) < 0)
		goto failed;
	return 0;
failed:
	hang_up(x);
	return -EIO;
}

int upstream_ask(struct upstream *u, const uint8_t *query, size_t len, bool tcp, upstream_fn fn,
    void *arg, struct exchange **ret)
{
	if (!u->servers || u->pending >= UPSTREAM_PENDING_MAX || len > PACKET_QUERY_MAX)
		return -EAGAIN;
	struct exchange *x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->up = u;
	x->fn = fn;
	x->arg = arg;
	x->tcp = tcp;
	x->fd = -1;
	x->len = len;
	x->query[0] = (uint8_t)(len >> 8);
	x->query[1] = (uint8_t)len;
	memcpy(x->query + 2, query, len);
	while (x->tries < MIN(2 * u->servers, (size_t)UPSTREAM_TRIES_MAX))
		if (dial(x) == 0) {
			u->pending++;
			*ret = x;
			return 0;
		}
	free(x);
	return -EHOSTUNREACH;
}
