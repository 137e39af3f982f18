#include "dns/server.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "core/addresses.h"
#include "dns/packet.h"
#include <fcntl.h>
#include <ldns/ldns.h>
#include <sodium.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { LOOK_EVERY_MS = 100, DATAGRAMS_AT_ONCE = 64 };

/* A machine's TCP connection: one question at a time. */
struct client {
	struct server *server;
	int fd;
	struct in6_addr from;
	sd_event_source *io, *timer;
	struct exchange *waiting;
	size_t got, out_len, out_done;
	uint8_t in[2 + PACKET_QUERY_MAX];
	uint8_t *out; /* with its two bytes of length */
};

/* A datagram that was sent upstream. */
struct pending {
	struct server *server;
	uint32_t *machine, *network; /* counts that it is in */
	struct sockaddr_in6 from;
	size_t len;
	uint8_t query[PACKET_QUERY_MAX];
};

static void load(struct server *s)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	struct err e;
	struct names_table t = { 0 };
	int r = file_read(s->folder, "table.json", NAMES_FILE_MAX, &text, &len, &e);
	if (r == 0)
		r = names_table_parse(&t, text, len, &e);
	if (r < 0) {
		log_err(&e, "keeping the %zu names of before", s->names.count);
		return;
	}
	names_table_done(&s->names);
	s->names = t;
	log_debug("%zu names", t.count);
}

/* The file is looked at when somebody asks, at most ten times a second; no question, no work. */
static void refresh(struct server *s)
{
	struct stat st;
	uint64_t now = clock_mono_ms();
	if (s->looked_ms && now - s->looked_ms < LOOK_EVERY_MS)
		return;
	s->looked_ms = now;
	if (s->folder < 0)
		s->folder = open(s->folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->folder < 0 || fstatat(s->folder, "table.json", &st, AT_SYMLINK_NOFOLLOW))
		return;
	/* each version is a new file, renamed over the old one */
	uint64_t stamp = st.st_ino * 0x9e3779b97f4a7c15ULL ^
			 (uint64_t)st.st_mtim.tv_sec * 1000000007ULL ^
			 (uint64_t)st.st_mtim.tv_nsec ^ (uint64_t)st.st_size << 40;
	if (stamp == s->stamp)
		return;
	s->stamp = stamp;
	load(s);
}

/* Where a machine's (its /112) or an organisation's (its /48) are counted. */
enum { MACHINE = 14, NETWORK = 6 };
static size_t place_of(const struct server *s, const struct in6_addr *from, size_t prefix)
{
	uint64_t h;
	crypto_shorthash((uint8_t *)&h, from->s6_addr, prefix, (const uint8_t *)s->bucket_key);
	return h % SERVER_BUCKETS;
}

static bool may_ask(struct server *s, const struct in6_addr *from)
{
	struct bucket *b = &s->bucket[place_of(s, from, MACHINE)];
	uint64_t now = clock_mono_ms();
	uint64_t more = (now - b->at_ms) * SERVER_RATE / 1000;
	if (more) {
		b->tokens = (uint32_t)MIN(b->tokens + more, (uint64_t)SERVER_BURST);
		b->at_ms = now;
	}
	if (!b->tokens)
		return false;
	b->tokens--;
	return true;
}

static uint32_t network_of(const struct in6_addr *from)
{
	uint32_t network = 0;
	return sixpn_network(from, &network) ? network : 0;
}

static void reply(struct server *s, const struct sockaddr_in6 *to, const uint8_t *p, size_t len)
{
	if (p && sendto(s->udp, p, len, MSG_DONTWAIT, (const struct sockaddr *)to, sizeof(*to)) < 0)
		log_debug("an answer could not be sent: %m");
}

static void on_upstream_udp(void *arg, const uint8_t *answer, size_t len)
{
	struct pending *p = arg;
	uint8_t *own = answer ? NULL : packet_refuse(p->query, p->len, LDNS_RCODE_SERVFAIL, &len);
	reply(p->server, &p->from, answer ? answer : own, len);
	free(own);
	--*p->machine;
	--*p->network;
	free(p);
}

static void forward_udp(
    struct server *s, const struct sockaddr_in6 *from, const uint8_t *query, size_t len)
{
	uint32_t *machine = &s->bucket[place_of(s, &from->sin6_addr, MACHINE)].pending,
		 *network = &s->network_pending[place_of(s, &from->sin6_addr, NETWORK)];
	bool room = *machine < SERVER_PENDING_MAX && *network < SERVER_PENDING_NETWORK_MAX;
	struct pending *p = room ? malloc(sizeof(*p)) : NULL;
	struct exchange *x;
	if (p) {
		*p = (struct pending){ .server = s,
			.machine = machine,
			.network = network,
			.from = *from,
			.len = len };
		memcpy(p->query, query, len);
	}
	if (p && upstream_ask(s->up, query, len, false, on_upstream_udp, p, &x) == 0) {
		++*machine;
		++*network;
		return;
	}
	free(p);
	int rcode = upstream_servers(s->up) ? LDNS_RCODE_SERVFAIL : LDNS_RCODE_REFUSED;
	uint8_t *own = packet_refuse(query, len, rcode, &len);
	reply(s, from, own, len);
	free(own);
}

static int on_udp(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct server *s = arg;
	refresh(s);
	for (int i = 0; i < DATAGRAMS_AT_ONCE; i++) {
		uint8_t query[PACKET_QUERY_MAX + 1], *answer = NULL;
		struct sockaddr_in6 from;
		socklen_t size = sizeof(from);
		size_t answer_len;
		ssize_t n = recvfrom(
		    fd, query, sizeof(query), MSG_DONTWAIT, (struct sockaddr *)&from, &size);
		if (n < 0)
			return 0;
		if (size != sizeof(from) || from.sin6_family != AF_INET6 ||
		    !may_ask(s, &from.sin6_addr))
			continue;
		switch (packet_answer(&s->names, network_of(&from.sin6_addr), false, s->spin++,
		    query, (size_t)n, &answer, &answer_len)) {
		case PACKET_ANSWERED: reply(s, &from, answer, answer_len); break;
		case PACKET_FORWARD: forward_udp(s, &from, query, (size_t)n); break;
		case PACKET_DROP: break;
		}
		free(answer);
	}
	return 0;
}

static void client_free(struct client *c)
{
	for (size_t i = 0; i < countof(c->server->client); i++)
		if (c->server->client[i] == c)
			c->server->client[i] = NULL;
	upstream_cancel(c->waiting);
	sd_event_source_disable_unref(c->io);
	sd_event_source_disable_unref(c->timer);
	close(c->fd);
	free(c->out);
	free(c);
}

/* Takes over the answer; false: the connection is over. */
static bool client_answer(struct client *c, const uint8_t *answer, size_t len)
{
	if (!answer || len > PACKET_TCP_MAX || !(c->out = malloc(2 + len)))
		return false;
	c->out[0] = (uint8_t)(len >> 8);
	c->out[1] = (uint8_t)len;
	memcpy(c->out + 2, answer, len);
	c->out_len = 2 + len;
	c->out_done = 0;
	return sd_event_source_set_io_events(c->io, EPOLLOUT) >= 0;
}

static void on_upstream_tcp(void *arg, const uint8_t *answer, size_t len)
{
	struct client *c = arg;
	c->waiting = NULL;
	uint8_t *own =
	    answer ? NULL : packet_refuse(c->in + 2, c->got - 2, LDNS_RCODE_SERVFAIL, &len);
	if (!client_answer(c, answer ? answer : own, len))
		client_free(c);
	free(own);
}

/* One whole question is in c->in. */
static bool client_ask(struct client *c)
{
	struct server *s = c->server;
	uint8_t *answer = NULL;
	size_t len = 0;
	refresh(s);
	if (!may_ask(s, &c->from))
		return false;
	enum packet_verdict v = packet_answer(
	    &s->names, network_of(&c->from), true, s->spin++, c->in + 2, c->got - 2, &answer, &len);
	if (v == PACKET_FORWARD) {
		if (sd_event_source_set_io_events(c->io, 0) >= 0 &&
		    upstream_ask(
			s->up, c->in + 2, c->got - 2, true, on_upstream_tcp, c, &c->waiting) == 0)
			return true;
		int rcode = upstream_servers(s->up) ? LDNS_RCODE_SERVFAIL : LDNS_RCODE_REFUSED;
		answer = packet_refuse(c->in + 2, c->got - 2, rcode, &len);
	}
	bool good = client_answer(c, answer, len);
	free(answer);
	return good;
}

static bool client_read(struct client *c)
{
	/* exactly one question: what follows it stays in the socket */
	size_t want = c->got < 2 ? 2 : 2 + ((size_t)c->in[0] << 8 | c->in[1]);
	if (want > sizeof(c->in))
		return false;
	ssize_t n = recv(c->fd, c->in + c->got, want - c->got, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->got += (size_t)n;
	if (n == 0 || c->got < 2)
		return n > 0;
	want = 2 + ((size_t)c->in[0] << 8 | c->in[1]);
	return want > sizeof(c->in) || want == 2 ? false : c->got < want || client_ask(c);
}

static bool client_write(struct client *c)
{
	ssize_t n = send(
	    c->fd, c->out + c->out_done, c->out_len - c->out_done, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->out_done += (size_t)n;
	if (c->out_done < c->out_len)
		return true;
	free(steal_ptr(&c->out));
	c->got = 0;
	return sd_event_source_set_io_events(c->io, EPOLLIN) >= 0 &&
	       sd_event_source_set_time_relative(c->timer, SERVER_IDLE_MS * 1000ULL) >= 0 &&
	       sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT) >= 0;
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct client *c = arg;
	bool good = !(events & (EPOLLERR | EPOLLHUP));
	if (good && (events & EPOLLOUT) && c->out)
		good = client_write(c);
	else if (good && (events & EPOLLIN) && !c->out)
		good = client_read(c);
	if (!good)
		client_free(c);
	return 0;
}

static int on_idle(sd_event_source *source, uint64_t now, void *arg)
{
	client_free(arg);
	return 0;
}

/* A place for one more connection of this machine, or NULL. */
static struct client **place(struct server *s, const struct in6_addr *from)
{
	struct client **unused = NULL;
	unsigned own = 0, network = 0;
	for (size_t i = 0; i < countof(s->client); i++) {
		if (!s->client[i])
			unused = &s->client[i];
		else {
			own += !memcmp(&s->client[i]->from, from, MACHINE);
			network += !memcmp(&s->client[i]->from, from, NETWORK);
		}
	}
	return own < SERVER_PER_ASKER_MAX && network < SERVER_PER_NETWORK_MAX ? unused : NULL;
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct server *s = arg;
	struct sockaddr_in6 from = { 0 };
	socklen_t size = sizeof(from);
	cleanup_close int conn =
	    accept4(fd, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (conn < 0 || from.sin6_family != AF_INET6)
		return 0;
	struct client **at = place(s, &from.sin6_addr);
	struct client *c = at ? calloc(1, sizeof(*c)) : NULL;
	if (!c)
		return 0;
	*c = (struct client){ .server = s, .fd = steal_fd(&conn), .from = from.sin6_addr };
	*at = c;
	if (sd_event_add_io(s->loop, &c->io, c->fd, EPOLLIN, on_client, c) < 0 ||
	    sd_event_add_time_relative(
		s->loop, &c->timer, CLOCK_MONOTONIC, SERVER_IDLE_MS * 1000ULL, 0, on_idle, c) < 0)
		client_free(c);
	return 0;
}

int server_start(struct server *s, struct err *e)
{
	_Static_assert(sizeof(s->bucket_key) == crypto_shorthash_KEYBYTES, "the key fits");
	randombytes_buf(s->bucket_key, sizeof(s->bucket_key));
	int r = sd_event_add_io(s->loop, NULL, s->udp, EPOLLIN, on_udp, s);
	if (r >= 0)
		r = sd_event_add_io(s->loop, NULL, s->tcp, EPOLLIN, on_accept, s);
	refresh(s);
	return r < 0 ? err_sys(e, -r, "cannot watch the resolver's sockets") : 0;
}
