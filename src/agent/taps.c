#include "agent/agent.h"
#include "base/str.h"
#include "proto/ipc_net.h"

enum { CALL_MS = 10000 };

static int ask(struct agent *a, struct net_tap *q, void *ret, size_t len, int *fds, size_t *nfds,
    struct err *e)
{
	static uint64_t seq;
	char path[108];
	int n = snprintf(path, sizeof(path), "%s/net.sock", a->places.run);
	if (n < 0 || n >= (int)sizeof(path))
		return err_set(e, ERR_INVALID, "the path of ward-net's socket is too long");
	q->head.version = NET_VERSION;
	q->head.seq = ++seq;
	int r = a->net >= 0 ? 0 : ipc_connect(path, &a->net, e);
	if (r < 0)
		return r;
	r = ipc_call(a->net, q, sizeof(*q), NULL, 0, ret, len, fds, nfds, CALL_MS, e);
	if (r < 0) {
		close(a->net);
		a->net = -1;
	}
	return r;
}

static int answer_of(const struct net_answer *w, struct err *e)
{
	if (w->result >= 0)
		return 0;
	enum err_code code =
	    w->code > 0 && w->code < ERR_CODE_MAX ? (enum err_code)w->code : ERR_SYSTEM;
	(void)err_set(e, code, "%.*s", (int)sizeof(w->text) - 1, w->text);
	return w->result;
}

/* A text of the answer, which must end within its field. */
static bool take(char *dst, size_t size, const char *src, size_t src_size)
{
	return memchr(src, 0, src_size) && str_copy(dst, size, src);
}
#define TAKE(dst, src) take(dst, sizeof(dst), src, sizeof(src))

int tap_open(struct machine *m, const struct desired *d, struct machine_net *ret, struct err *e)
{
	struct agent *a = m->agent;
	struct net_tap q = { .head = { .type = NET_TAP_OPEN },
		.network = d->network,
		.host = a->host_id,
		.number = d->number };
	struct net_answer w = { 0 };
	int fds[1] = { -1 };
	size_t nfds = 1;
	str_copy(q.machine, sizeof(q.machine), m->id);
	int r = ask(a, &q, &w, sizeof(w), fds, &nfds, e);
	if (r < 0)
		return r;
	r = answer_of(&w, e);
	if (r == 0 && nfds != 1)
		r = err_set(e, ERR_PROTOCOL, "ward-net sent %zu taps", nfds);
	struct machine_net n = { 0 };
	if (r == 0 && !(TAKE(n.ipv6, w.ipv6) && TAKE(n.ipv6_gateway, w.ipv6_gateway) &&
			  TAKE(n.ipv4, w.ipv4) && TAKE(n.ipv4_gateway, w.ipv4_gateway) &&
			  TAKE(n.dns, w.dns) && TAKE(n.mac, w.mac)))
		r = err_set(e, ERR_PROTOCOL, "ward-net's answer has an address without an end");
	if (r < 0) {
		if (nfds == 1)
			close(fds[0]);
		return r;
	}
	if (m->tap_fd >= 0)
		close(m->tap_fd);
	m->tap_fd = fds[0];
	m->tap = true;
	*ret = n;
	return 0;
}

int tap_remove(struct machine *m, struct err *e)
{
	struct net_tap q = { .head = { .type = NET_TAP_REMOVE } };
	struct net_answer w = { 0 };
	if (m->tap_fd >= 0)
		close(m->tap_fd);
	m->tap_fd = -1;
	str_copy(q.machine, sizeof(q.machine), m->id);
	int r = ask(m->agent, &q, &w, sizeof(w), NULL, NULL, e);
	if (r == 0)
		r = answer_of(&w, e);
	if (r < 0 && r != -ENOENT)
		return r;
	m->tap = false;
	if (!m->agent->taps_known)
		taps_list(m->agent);
	return 0;
}

void taps_list(struct agent *a)
{
	struct net_tap q = { .head = { .type = NET_TAP_LIST } };
	struct net_list *list = calloc(1, sizeof(*list));
	struct err e;
	if (!list)
		return;
	if (ask(a, &q, list, sizeof(*list), NULL, NULL, &e) < 0) {
		log_err(&e, "cannot list the taps");
		free(list);
		return;
	}
	for (struct machine *m = a->machines; m; m = m->next)
		m->tap = m->tap_fd >= 0;
	for (uint32_t i = 0; i < list->count && i < NET_MACHINES_MAX; i++) {
		const char *id = list->machine[i];
		struct machine *m = memchr(id, 0, sizeof(list->machine[i])) && id_is_machine(id)
					? machine_get(a, id)
					: NULL;
		if (m)
			m->tap = true;
	}
	a->taps_known = true;
	free(list);
	machines_turn_all(a);
}
