#include "vault/serve.h"
#include "base/log.h"
#include "base/str.h"
#include "vault/rights.h"
#include "vault/secret.h"
#include <sodium.h>
#include <sys/socket.h>

enum {
	CONNECTIONS_MAX = 64,
	CONNECTIONS_PER_USER = 16, /* one daemon cannot keep the others out */
	PACKET_MAX = sizeof(struct vault_ask) + VAULT_BYTES_MAX,
};

struct connection {
	struct vault_server *server;
	int fd; /* -1: free */
	uid_t uid;
	enum daemon who;
	sd_event_source *source;
};

struct vault_server {
	struct vault *vault;
	sd_event *loop;
	int listen_fd;
	sd_event_source *source;
	uint8_t *in, *out; /* secret memory, shared by all: requests are done one at a time */
	struct connection connections[CONNECTIONS_MAX];
};

static void drop(struct connection *c)
{
	c->source = sd_event_source_disable_unref(c->source);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/* One line for each release of a secret, and for each refusal. */
static void audit(
    const struct connection *c, const struct vault_ask *ask, int result, const struct err *e)
{
	const char *who = c->who < DAEMON_MAX ? daemon_name(c->who) : "stranger";
	const char *op = vault_op_name((enum vault_type)ask->head.type);
	if (result < 0)
		log_warn("audit: %s (uid %u) %s %s \"%s\": refused: %s [%s]", who, c->uid, op,
		    ask->purpose, ask->id, e->text, err_code_name(e->code));
	else if (ask->head.type != VAULT_STATUS && ask->head.type != VAULT_CA &&
		 ask->head.type != VAULT_TOKEN_CHECK)
		log_info("audit: %s (uid %u) %s %s \"%s\"", who, c->uid, op, ask->purpose, ask->id);
}

/* False: the connection is to be dropped. */
static bool answer(struct connection *c, size_t len)
{
	struct vault_server *s = c->server;
	struct vault_ask ask = { 0 };
	struct vault_answer a = { 0 };
	struct bytes tail;
	struct err e = { 0 };
	size_t n = 0;
	int r = vault_ask_parse(s->in, len, &ask, &tail, &e);
	bool broken = r < 0;
	if (broken)
		log_warn("uid %u broke the protocol: %s", c->uid, e.text);
	if (r == 0) {
		r = vault_do(s->vault, c->who, (enum vault_type)ask.head.type, ask.purpose, ask.id,
		    tail, s->out, &n, a.text, &e);
		audit(c, &ask, r, &e);
	}
	if (r < 0)
		str_copy(a.text, sizeof(a.text), e.text);
	if (r < 0 && !a.text[0])
		memcpy(a.text, e.text, sizeof(a.text) - 1); /* longer than fits: its beginning */
	a.head = ask.head;
	a.result = r;
	a.code = r < 0 ? e.code : ERR_NONE;
	a.tail = r < 0 ? 0 : (uint32_t)n;
	r = ipc_send(c->fd, &a, sizeof(a), (struct bytes){ s->out, a.tail }, NULL, 0, &e);
	sodium_memzero(s->in, len);
	sodium_memzero(s->out, a.tail);
	/* Someone who asks and does not read his answers (-EAGAIN) is dropped too. */
	return !broken && r == 0;
}

static int on_packet(sd_event_source *src, int fd, uint32_t events, void *arg)
{
	struct connection *c = arg;
	size_t len = 0;
	struct err e;
	int r = ipc_recv(fd, c->server->in, PACKET_MAX, &len, NULL, NULL, &e);
	if (r == -EAGAIN)
		return 0;
	if (r < 0 || !len || !answer(c, len))
		drop(c);
	return 0;
}

static struct connection *free_place(struct vault_server *s, uid_t uid)
{
	struct connection *found = NULL;
	unsigned same = 0;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		if (s->connections[i].fd < 0)
			found = &s->connections[i];
		else if (s->connections[i].uid == uid)
			same++;
	}
	return same < CONNECTIONS_PER_USER ? found : NULL;
}

static int on_connect(sd_event_source *src, int listen_fd, uint32_t events, void *arg)
{
	struct vault_server *s = arg;
	struct err e;
	uid_t uid;
	enum daemon who;
	cleanup_close int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return 0; /* it left again, or fds are short: the next event tries anew */
	if (ipc_peer(fd, &uid, &who, &e) < 0)
		return 0;
	struct connection *c = free_place(s, uid);
	if (!c || sd_event_add_io(s->loop, &c->source, fd, EPOLLIN, on_packet, c) < 0) {
		log_warn("uid %u: too many connections", uid);
		return 0;
	}
	c->fd = steal_fd(&fd);
	c->uid = uid;
	c->who = who;
	return 0;
}

int vault_serve(
    sd_event *loop, int listen_fd, struct vault *v, struct vault_server **ret, struct err *e)
{
	struct vault_server *s = calloc(1, sizeof(*s));
	if (!s) {
		close(listen_fd);
		return err_set(e, ERR_NO_MEMORY, "no memory for the vault's server");
	}
	s->vault = v;
	s->loop = loop;
	s->listen_fd = listen_fd;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		s->connections[i] = (struct connection){ .server = s, .fd = -1 };
	int r = secret_new(PACKET_MAX, (void **)&s->in, e);
	if (r == 0)
		r = secret_new(IPC_BYTES_MAX, (void **)&s->out, e);
	if (r == 0) {
		r = sd_event_add_io(loop, &s->source, listen_fd, EPOLLIN, on_connect, s);
		if (r < 0)
			err_sys(e, -r, "cannot watch the vault's socket");
	}
	if (r < 0) {
		vault_server_stop(s);
		return r;
	}
	*ret = s;
	return 0;
}

void vault_server_stop(struct vault_server *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		drop(&s->connections[i]);
	sd_event_source_disable_unref(s->source);
	close(s->listen_fd);
	secret_free(s->in);
	secret_free(s->out);
	free(s);
}
