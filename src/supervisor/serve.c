#include "supervisor/serve.h"
#include "base/log.h"
#include "base/str.h"
#include <sys/socket.h>

/* Of all connections, and of one daemon's: one that keeps opening them shuts nobody else out. */
enum { PEERS_MAX = 32, PEERS_EACH = 10 };

struct peer {
	struct serve *all;
	int fd; /* -1: free */
	enum daemon who;
	bool subscribed;
	sd_event_source *source;
};

struct serve {
	const struct units *units;
	struct cages *cages;
	sd_event *loop;
	int listen_fd;
	struct peer peer[PEERS_MAX];
};

static void drop(struct peer *p)
{
	sd_event_source_disable_unref(p->source);
	close(p->fd);
	*p = (struct peer){ .all = p->all, .fd = -1 };
}

static int answer(
    struct peer *p, const struct ipc_head *ask, int result, pid_t pid, const struct err *failed)
{
	struct err e;
	struct wardd_answer a = {
		.head = { ask->type, WARDD_VERSION, ask->seq }, .result = result, .pid = pid
	};
	if (result < 0) {
		a.code = failed->code;
		snprintf(a.text, sizeof(a.text), "%.*s", (int)sizeof(a.text) - 1, failed->text);
	}
	return ipc_send(p->fd, &a, sizeof(a), (struct bytes){ 0 }, NULL, 0, &e);
}

static int start_cage(struct peer *p, const struct wardd_cage_start *ask, int tap)
{
	struct err e = { 0 };
	pid_t pid = 0;
	int r = cages_start(p->all->cages, ask, tap, &pid, &e);
	if (r < 0)
		log_err(&e, "starting machine %.*s", MACHINE_ID_LEN, ask->machine);
	return answer(p, &ask->head, r, pid, &e);
}

static int stop_cage(struct peer *p, struct wardd_cage_stop *ask)
{
	struct err e = { 0 };
	ask->machine[sizeof(ask->machine) - 1] = 0;
	int r = cages_stop(p->all->cages, ask->machine, &e);
	if (r < 0)
		log_err(&e, "stopping machine %s", ask->machine);
	return answer(p, &ask->head, r, 0, &e);
}

static int list_cages(struct peer *p, const struct ipc_head *ask)
{
	static struct wardd_cage_list l;
	struct err e;
	l.head = (struct ipc_head){ ask->type, WARDD_VERSION, ask->seq };
	cages_list(p->all->cages, &l);
	memset(&l.cage[l.count], 0, sizeof(l.cage[0]) * (WARDD_MACHINES_MAX - l.count));
	return ipc_send(p->fd, &l, sizeof(l), (struct bytes){ 0 }, NULL, 0, &e);
}

static int tell_status(struct peer *p, const struct ipc_head *ask)
{
	struct err e;
	struct wardd_status s = { .head = { ask->type, WARDD_VERSION, ask->seq } };
	units_status(p->all->units, &s);
	return ipc_send(p->fd, &s, sizeof(s), (struct bytes){ 0 }, NULL, 0, &e);
}

/* Who may ask what, and how long each question is. */
static const struct {
	size_t size;
	uint32_t who; /* 1 << DAEMON_X */
} questions[] = {
	[WARDD_CAGE_START] = { sizeof(struct wardd_cage_start), 1U << DAEMON_AGENT },
	[WARDD_CAGE_STOP] = { sizeof(struct wardd_cage_stop), 1U << DAEMON_AGENT },
	[WARDD_CAGE_LIST] = { sizeof(struct wardd_cage_stop), 1U << DAEMON_AGENT },
	[WARDD_SUBSCRIBE] = { sizeof(struct ipc_head), 1U << DAEMON_AGENT },
	[WARDD_STATUS] = { sizeof(struct ipc_head), 1U << DAEMON_WARDD | 1U << DAEMON_API },
};

union question {
	struct ipc_head head;
	struct wardd_cage_start start;
	struct wardd_cage_stop stop;
};

/* Has wardd any question for it? Else it is not even listened to. */
static bool may_connect(enum daemon who)
{
	uint32_t all = 0;
	for (size_t i = 0; i < countof(questions); i++)
		all |= questions[i].who;
	return who != DAEMON_MAX && (all & (1U << who));
}

static struct peer *free_peer(struct serve *v, enum daemon who)
{
	struct peer *found = NULL;
	size_t same = 0;
	for (size_t i = 0; i < PEERS_MAX; i++)
		if (v->peer[i].fd < 0)
			found = &v->peer[i];
		else
			same += v->peer[i].who == who;
	return same < PEERS_EACH ? found : NULL;
}

/* < 0: the connection is over. */
static int dispatch(struct peer *p, union question *q, size_t len, int tap)
{
	const struct ipc_head *h = &q->head;
	if (len < sizeof(*h) || h->version > WARDD_VERSION || h->type >= countof(questions) ||
	    questions[h->type].size != len || (tap >= 0 && h->type != WARDD_CAGE_START)) {
		log_warn(
		    "a message of %zu bytes from %s is none of wardd's", len, daemon_name(p->who));
		return -EPROTO;
	}
	if (!(questions[h->type].who & (1U << p->who))) {
		struct err e;
		int r =
		    err_set(&e, ERR_FORBIDDEN, "%s may not ask this of wardd", daemon_name(p->who));
		return answer(p, h, r, 0, &e);
	}
	switch (h->type) {
	case WARDD_CAGE_START: return start_cage(p, &q->start, tap);
	case WARDD_CAGE_STOP: return stop_cage(p, &q->stop);
	case WARDD_CAGE_LIST: return list_cages(p, h);
	case WARDD_STATUS: return tell_status(p, h);
	default: p->subscribed = true; return answer(p, h, 0, 0, NULL);
	}
}

static int on_question(sd_event_source *s, int fd, uint32_t events, void *data)
{
	struct peer *p = data;
	union question q;
	struct err e;
	size_t len, nfds = 1;
	int tap = -1;
	int r = ipc_recv(fd, &q, sizeof(q), &len, &tap, &nfds, &e);
	if (r == -EAGAIN)
		return 0;
	if (r == 0 && len)
		r = dispatch(p, &q, len, nfds ? tap : -1);
	if (nfds && r != -EAGAIN && tap >= 0)
		close(tap);
	if (r < 0 || !len)
		drop(p);
	return 0;
}

static int on_connect(sd_event_source *s, int fd, uint32_t events, void *data)
{
	struct serve *v = data;
	struct err e;
	uid_t uid;
	enum daemon who;
	cleanup_close int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (peer < 0)
		return 0;
	if (ipc_peer(peer, &uid, &who, &e) < 0)
		return 0;
	if (!may_connect(who)) {
		log_warn("uid %u may not talk to wardd", (unsigned)uid);
		return 0;
	}
	struct peer *p = free_peer(v, who);
	if (!p) {
		log_warn("too many connections: one of %s is refused", daemon_name(who));
		return 0;
	}
	if (sd_event_add_io(v->loop, &p->source, peer, EPOLLIN, on_question, p) < 0)
		return 0;
	p->who = who;
	p->fd = steal_fd(&peer);
	return 0;
}

void serve_exited(void *serve, const struct wardd_exited *x)
{
	struct serve *v = serve;
	struct err e;
	for (size_t i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &v->peer[i];
		/* who does not read is dropped, and asks for the list when it comes again */
		if (p->fd >= 0 && p->subscribed &&
		    ipc_send(p->fd, x, sizeof(*x), (struct bytes){ 0 }, NULL, 0, &e) < 0)
			drop(p);
	}
}

void serve_set_cages(struct serve *v, struct cages *c)
{
	v->cages = c;
}

int serve_new(struct serve **ret, const struct settings *s, sd_event *loop,
    const struct units *units, struct err *e)
{
	static struct serve v;
	v = (struct serve){ .units = units, .loop = loop };
	for (size_t i = 0; i < PEERS_MAX; i++)
		v.peer[i] = (struct peer){ .all = &v, .fd = -1 };
	char path[108];
	snprintf(path, sizeof(path), "%s/wardd.sock", s->places.run);
	int r = ipc_listen(path, 0666, &v.listen_fd, e); /* each peer's uid is checked */
	if (r < 0)
		return r;
	r = sd_event_add_io(loop, NULL, v.listen_fd, EPOLLIN, on_connect, &v);
	if (r < 0)
		return err_sys(e, -r, "cannot wait for connections");
	*ret = &v;
	return 0;
}
