/* The key process as a worker sees it: a connection that is made again whenever it breaks, the
 * certificates it offers, and signatures, asked in batches: one packet for all handshakes of one
 * round of events. */
#include "base/log.h"
#include "base/str.h"
#include "edge/worker.h"
#include "proto/ipc_keys.h"
#include <fcntl.h>
#include <openssl/async.h>
#include <sys/socket.h>

enum { JOBS_MAX = 1024, PACKET_MAX = 96 * 1024 };
enum job_state { JOB_FREE, JOB_LATER, JOB_WAITING, JOB_SENT, JOB_DONE, JOB_FAILED };

struct sign_job {
	enum job_state state;
	uint32_t
	    turn; /* of this place: an answer to an earlier job is not mistaken for this one's */
	struct client *client;
	uint64_t key;
	uint32_t len;
	uint8_t bytes[KEYS_SIG_MAX]; /* the digest, then the signature */
};

struct keys {
	struct watch watch;
	struct worker *w;
	char path[100];
	unsigned waiting;
	bool complained;
	struct keys_list list;
	struct sign_job job[JOBS_MAX];
	char packet[PACKET_MAX];
};

static void disconnect(struct keys *k)
{
	if (k->watch.fd >= 0)
		close(k->watch.fd);
	k->watch.fd = -1;
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (k->job[i].state == JOB_SENT) {
			k->job[i].state = JOB_WAITING; /* asked again from its successor */
			k->waiting++;
		}
}

static int send_message(struct keys *k, const void *msg, size_t len)
{
	struct err e;
	int r = ipc_send(k->watch.fd, msg, len, (struct bytes){ 0 }, NULL, 0, &e);
	if (r < 0 && r != -EAGAIN)
		disconnect(k);
	return r;
}

/* When all that is offered is there, the rest goes: the old certificate of a renewed name serves
 * until then. */
static void settle(struct keys *k)
{
	uint64_t keys[KEYS_CERTS_MAX];
	for (uint32_t i = 0; i < k->list.count; i++) {
		keys[i] = k->list.cert[i].key;
		if (!tls_has(k->w, keys[i]))
			return;
	}
	if (!k->list.count)
		return;
	tls_certificates_only(k->w, keys, k->list.count);
	k->w->certificates_ready = true;
}

static void on_list(struct keys *k, size_t len)
{
	if (len != sizeof(k->list))
		return;
	memcpy(&k->list, k->packet, sizeof(k->list));
	if (k->list.count > KEYS_CERTS_MAX)
		k->list.count = 0;
	for (uint32_t i = 0; i < k->list.count; i++) {
		struct keys_cert *c = &k->list.cert[i];
		c->name[KEYS_NAME_MAX - 1] = 0;
		struct keys_chain_ask ask = { .head = { KEYS_CHAIN, KEYS_VERSION, i },
			.key = c->key };
		if (!tls_has(k->w, c->key) && send_message(k, &ask, sizeof(ask)) < 0)
			return;
	}
	settle(k);
}

static void on_chain(struct keys *k, size_t len)
{
	struct keys_chain a;
	if (len < sizeof(a))
		return;
	memcpy(&a, k->packet, sizeof(a));
	if (a.result != 0 || a.tail != len - sizeof(a) || a.head.seq >= k->list.count)
		return;
	const struct keys_cert *c = &k->list.cert[a.head.seq];
	struct err e;
	if (!tls_has(k->w, c->key) && tls_certificate(k->w, c->name, c->key,
					  (struct bytes){ k->packet + sizeof(a), a.tail }, &e) < 0)
		log_err(&e, "certificate");
	settle(k);
}

static void on_signed(struct keys *k, size_t len)
{
	struct keys_signed a;
	if (len != sizeof(a))
		return;
	memcpy(&a, k->packet, sizeof(a));
	for (uint32_t i = 0; i < a.count && i < KEYS_BATCH_MAX; i++) {
		uint64_t place = a.item[i].tag & 0xffffffff;
		struct sign_job *j = place < JOBS_MAX ? &k->job[place] : NULL;
		if (!j || j->state != JOB_SENT || j->turn != a.item[i].tag >> 32)
			continue;
		if (a.item[i].result == -EAGAIN) {
			j->state =
			    JOB_LATER; /* until the next tick; the handshake's deadline ends it */
			continue;
		}
		bool good =
		    a.item[i].result == 0 && a.item[i].len > 0 && a.item[i].len <= KEYS_SIG_MAX;
		if (good) {
			memcpy(j->bytes, a.item[i].sig, a.item[i].len);
			j->len = a.item[i].len;
		}
		j->state = good ? JOB_DONE : JOB_FAILED;
		client_run(j->client);
	}
}

static void on_readable(struct watch *watch)
{
	struct keys *k = (struct keys *)watch;
	while (watch->fd >= 0) {
		size_t len;
		struct err e;
		struct ipc_head head;
		int r = ipc_recv(watch->fd, k->packet, sizeof(k->packet), &len, NULL, NULL, &e);
		if (r == -EAGAIN)
			return;
		if (r < 0 || len < sizeof(head)) {
			disconnect(k);
			return;
		}
		memcpy(&head, k->packet, sizeof(head));
		switch (head.type) {
		case KEYS_LIST: on_list(k, len); break;
		case KEYS_CHAIN: on_chain(k, len); break;
		case KEYS_SIGN: on_signed(k, len); break;
		default: break;
		}
	}
}

int keys_init(struct worker *w, struct err *e)
{
	struct keys *k = calloc(1, sizeof(*k));
	if (!k)
		return err_set(e, ERR_NO_MEMORY, "no memory");
	k->w = w;
	k->watch = (struct watch){ .fd = -1, .event = on_readable };
	snprintf(k->path, sizeof(k->path), "%s/edge-keys.sock", w->args->places.run);
	w->keys = k;
	return 0;
}

void keys_tick(struct worker *w)
{
	struct keys *k = w->keys;
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (k->job[i].state == JOB_LATER) {
			k->job[i].state = JOB_WAITING;
			k->waiting++;
		}
	if (k->watch.fd >= 0)
		return;
	struct err e;
	int r = ipc_connect(k->path, &k->watch.fd, &e);
	if (r < 0) {
		if (!k->complained)
			log_err(&e, "no key process; new TLS connections wait for it");
		k->complained = true;
		return;
	}
	k->complained = false;
	int flags = fcntl(k->watch.fd, F_GETFL);
	struct ipc_head ask = { KEYS_LIST, KEYS_VERSION, 1 };
	if (fcntl(k->watch.fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    watch_add(w, &k->watch, &e) < 0) {
		disconnect(k);
		return;
	}
	(void)send_message(k, &ask, sizeof(ask)); /* when it fails, the next tick connects again */
}

void keys_flush(struct worker *w)
{
	struct keys *k = w->keys;
	while (k->waiting && k->watch.fd >= 0) {
		struct keys_sign m = { .head = { KEYS_SIGN, KEYS_VERSION, 0 } };
		struct sign_job *in[KEYS_BATCH_MAX];
		for (uint32_t i = 0;
		     i < JOBS_MAX && m.count < KEYS_BATCH_MAX && m.count < k->waiting; i++) {
			struct sign_job *j = &k->job[i];
			if (j->state != JOB_WAITING)
				continue;
			m.item[m.count].key = j->key;
			m.item[m.count].tag = (uint64_t)j->turn << 32 | i;
			m.item[m.count].len = j->len;
			memcpy(m.item[m.count].digest, j->bytes, j->len);
			in[m.count++] = j;
		}
		if (send_message(k, &m, sizeof(m)) < 0)
			return;
		for (uint32_t i = 0; i < m.count; i++)
			in[i]->state = JOB_SENT;
		k->waiting -= m.count;
		w->count->signatures += m.count;
	}
}

size_t keys_sign(struct worker *w, struct client *c, uint64_t key, const uint8_t *digest,
    size_t len, uint8_t sig[80])
{
	struct keys *k = w->keys;
	struct sign_job *j = NULL;
	for (size_t i = 0; i < JOBS_MAX && !j; i++)
		if (k->job[i].state == JOB_FREE)
			j = &k->job[i];
	if (!j || len > KEYS_DIGEST_MAX || !ASYNC_get_current_job())
		return 0;
	j->state = JOB_WAITING;
	j->turn++;
	j->client = c;
	j->key = key;
	j->len = (uint32_t)len;
	memcpy(j->bytes, digest, len);
	k->waiting++;
	c->job = j;
	while (j->state == JOB_LATER || j->state == JOB_WAITING || j->state == JOB_SENT)
		ASYNC_pause_job();
	size_t n = j->state == JOB_DONE ? j->len : 0;
	memcpy(sig, j->bytes, n);
	j->state = JOB_FREE;
	c->job = NULL;
	return n;
}

void keys_forget(struct client *c)
{
	if (c->job->state == JOB_WAITING)
		c->w->keys->waiting--;
	c->job->state = JOB_FAILED;
}
