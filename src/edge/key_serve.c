#include "edge/key_serve.h"
#include "base/clock.h"
#include "base/log.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PEERS_MAX = 128,
	/* A taken worker could ask for signatures as long as it lives, on as many connections as it
	   likes; this is what one core can use in handshakes, for each core of the host, and no
	   more. */
	SIGN_A_SECOND = 5000,
};

struct peer {
	struct key_server *s;
	int fd; /* -1: free */
	sd_event_source *io;
};

struct key_server {
	sd_event *loop;
	const struct key_store *store;
	uint64_t second;
	unsigned signs, signs_max; /* in this second */
	struct peer peer[PEERS_MAX];
};

static void drop(struct peer *p)
{
	p->io = sd_event_source_disable_unref(p->io);
	close(p->fd);
	p->fd = -1;
}

static int answer(struct peer *p, const void *msg, size_t len, struct bytes tail)
{
	struct err e;
	return ipc_send(p->fd, msg, len, tail, NULL, 0, &e);
}

static int send_list(struct peer *p, uint64_t seq)
{
	struct keys_list m = { .head = { KEYS_LIST, KEYS_VERSION, seq } };
	const struct key_store *s = p->s->store;
	for (size_t i = 0; i < s->count; i++)
		if (s->now[i].key) {
			memcpy(m.cert[m.count].name, s->now[i].name, KEYS_NAME_MAX);
			m.cert[m.count++].key = s->now[i].key;
		}
	return answer(p, &m, sizeof(m), (struct bytes){ 0 });
}

static int send_chain(struct peer *p, const struct keys_chain_ask *ask)
{
	const struct key_cert *c = key_store_find(p->s->store, ask->key);
	struct keys_chain m = { .head = { KEYS_CHAIN, KEYS_VERSION, ask->head.seq },
		.result = c ? 0 : -ENOENT,
		.tail = c ? (uint32_t)c->chain_len : 0 };
	return answer(
	    p, &m, sizeof(m), c ? (struct bytes){ c->chain, c->chain_len } : (struct bytes){ 0 });
}

static bool may_sign(struct key_server *s)
{
	uint64_t second = clock_mono_ms() / 1000;
	if (second != s->second) {
		s->second = second;
		s->signs = 0;
	}
	return s->signs++ < s->signs_max;
}

static int sign(struct peer *p, const struct keys_sign *ask)
{
	struct keys_signed m = { .head = { KEYS_SIGN, KEYS_VERSION, ask->head.seq },
		.count = ask->count };
	bool whole = key_store_whole(p->s->store); /* else the key may still be loaded */
	for (uint32_t i = 0; i < ask->count; i++) {
		const struct key_cert *c = key_store_find(p->s->store, ask->item[i].key);
		uint32_t len = ask->item[i].len;
		size_t n = KEYS_SIG_MAX;
		m.item[i].tag = ask->item[i].tag;
		m.item[i].result = c || whole ? -ENOENT : -EAGAIN;
		if (!c || (len != 32 && len != 48 && len != 64))
			continue;
		m.item[i].result = -EAGAIN;
		if (!may_sign(p->s))
			continue;
		m.item[i].result = -EIO;
		if (EVP_PKEY_sign(c->sign, m.item[i].sig, &n, ask->item[i].digest, len) != 1)
			continue;
		m.item[i].len = (uint32_t)n;
		m.item[i].result = 0;
	}
	return answer(p, &m, sizeof(m), (struct bytes){ 0 });
}

/* One packet: its length must be its type's; anything else ends the connection. */
static int handle(struct peer *p, const void *packet, size_t len)
{
	struct ipc_head head;
	if (len < sizeof(head))
		return -EPROTO;
	memcpy(&head, packet, sizeof(head));
	if (head.version != KEYS_VERSION)
		return -EPROTO;
	if (head.type == KEYS_LIST && len == sizeof(head))
		return send_list(p, head.seq);
	if (head.type == KEYS_CHAIN && len == sizeof(struct keys_chain_ask)) {
		struct keys_chain_ask ask;
		memcpy(&ask, packet, sizeof(ask));
		return send_chain(p, &ask);
	}
	if (head.type == KEYS_SIGN && len == sizeof(struct keys_sign)) {
		struct keys_sign ask;
		memcpy(&ask, packet, sizeof(ask));
		return ask.count > 0 && ask.count <= KEYS_BATCH_MAX ? sign(p, &ask) : -EPROTO;
	}
	return -EPROTO;
}

static int on_peer(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct peer *p = arg;
	union {
		struct keys_sign largest;
		char bytes[sizeof(struct keys_sign)];
	} packet;
	size_t len;
	struct err e;
	int r = ipc_recv(fd, packet.bytes, sizeof(packet.bytes), &len, NULL, NULL, &e);
	if (r == -EAGAIN)
		return 0;
	if (r >= 0 && len > 0)
		r = handle(p, packet.bytes, len);
	if (r < 0 || len == 0)
		drop(p); /* a worker that does not read its answers is dropped too */
	return 0;
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct key_server *s = arg;
	cleanup_close int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	uid_t uid;
	enum daemon who;
	struct err e;
	if (peer < 0 || ipc_peer(peer, &uid, &who, &e) < 0)
		return 0;
	/* in tests all run as one user */
	if (who != DAEMON_EDGE && uid != geteuid()) {
		log_warn("uid %u may not ask for signatures", uid);
		return 0;
	}
	for (size_t i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &s->peer[i];
		if (p->fd >= 0)
			continue;
		*p = (struct peer){ .s = s, .fd = peer };
		if (sd_event_add_io(s->loop, &p->io, peer, EPOLLIN, on_peer, p) < 0) {
			p->fd = -1;
			return 0;
		}
		(void)steal_fd(&peer);
		return 0;
	}
	log_warn("more than %d workers want signatures", PEERS_MAX);
	return 0;
}

void key_server_changed(struct key_server *s)
{
	for (size_t i = 0; i < PEERS_MAX; i++)
		if (s->peer[i].fd >= 0 && send_list(&s->peer[i], 0) < 0)
			drop(&s->peer[i]);
}

int key_server_start(sd_event *loop, int listen_fd, const struct key_store *store,
    struct key_server **ret, struct err *e)
{
	struct key_server *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, ERR_NO_MEMORY, "no memory");
	s->loop = loop;
	s->store = store;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	s->signs_max = SIGN_A_SECOND * (unsigned)MAX(1L, MIN(cores, 1024L));
	for (size_t i = 0; i < PEERS_MAX; i++)
		s->peer[i].fd = -1;
	int r = sd_event_add_io(loop, NULL, listen_fd, EPOLLIN, on_accept, s);
	if (r < 0) {
		free(s);
		return err_sys(e, -r, "cannot watch the socket edge-keys");
	}
	*ret = s;
	return 0;
}
