#include "agent/agent.h"
#include "base/str.h"

enum { CALL_MS = 15000, AGAIN_US = 1000 * 1000 };

static void lost(struct agent *a);

/* ---- slots ---- */

uint32_t slot_free(struct agent *a)
{
	for (uint32_t slot = 1; slot <= WARDD_SLOT_MAX; slot++) {
		bool taken = false;
		for (const struct machine *m = a->machines; m && !taken; m = m->next)
			taken = m->r.slot == slot;
		if (!taken)
			return slot;
	}
	return 0;
}

/* ---- one question ---- */

static int path_of(struct agent *a, char dst[108], struct err *e)
{
	int n = snprintf(dst, 108, "%s/wardd.sock", a->places.run);
	return n > 0 && n < 108 ? 0
				: err_set(e, ERR_INVALID, "the path of wardd's socket is too long");
}

static int connect_calls(struct agent *a, struct err *e)
{
	char path[108];
	if (a->wardd_calls >= 0)
		return 0;
	int r = path_of(a, path, e);
	return r < 0 ? r : ipc_connect(path, &a->wardd_calls, e);
}

/* ret_unknown: no answer came, so nobody knows whether it was done. */
static int ask(struct agent *a, void *msg, size_t len, const int *fds, size_t nfds, void *ret,
    size_t ret_len, bool *ret_unknown, struct err *e)
{
	*ret_unknown = false;
	int r = connect_calls(a, e);
	if (r < 0) {
		lost(a);
		return r;
	}
	r = ipc_call(a->wardd_calls, msg, len, fds, nfds, ret, ret_len, NULL, NULL, CALL_MS, e);
	if (r < 0) {
		*ret_unknown = true;
		lost(a);
	}
	return r;
}

static int answer_of(const struct wardd_answer *w, struct err *e)
{
	if (w->result >= 0)
		return 0;
	enum err_code code =
	    w->code > 0 && w->code < ERR_CODE_MAX ? (enum err_code)w->code : ERR_SYSTEM;
	(void)err_set(e, code, "%.*s", (int)sizeof(w->text) - 1, w->text);
	return w->result;
}

static struct ipc_head head_of(enum wardd_type type)
{
	static uint64_t seq;
	return (struct ipc_head){ (uint32_t)type, WARDD_VERSION, ++seq };
}

/* ---- starting and stopping ---- */

int cage_start(struct machine *m, enum wardd_role role, struct err *e, bool *ret_unknown)
{
	struct agent *a = m->agent;
	const struct desired *d = machine_desired(m);
	struct wardd_cage_start q = { .head = head_of(WARDD_CAGE_START),
		.role = role,
		.generation = m->r.generation,
		.slot = m->r.slot };
	struct wardd_answer w = { 0 };
	bool monitor = role == WARDD_ROLE_MONITOR;
	*ret_unknown = false;
	str_copy(q.machine, sizeof(q.machine), m->id);
	memcpy(q.token, m->r.token, sizeof(q.token));
	q.engine = a->engine;
	if (d) {
		q.cpus = d->size.cpus;
		q.memory_mib = d->size.memory_mib;
	}
	str_copy(q.kernel, sizeof(q.kernel), a->kernel);
	str_copy(q.root, sizeof(q.root), m->r.root);
	str_copy(q.mac, sizeof(q.mac), m->r.net.mac);
	if (monitor && (m->tap_fd < 0 || !d))
		return err_set(e, ERR_INTERNAL, "a monitor without its tap");
	int r = ask(
	    a, &q, sizeof(q), monitor ? &m->tap_fd : NULL, monitor, &w, sizeof(w), ret_unknown, e);
	if (r < 0 || (r = answer_of(&w, e)) < 0)
		return r;
	m->cage = true;
	if (monitor) {
		m->monitor_pid = w.pid;
		m->cage_generation = m->r.generation;
		/* The monitor has it; the next one gets it opened anew. */
		close(m->tap_fd);
		m->tap_fd = -1;
	} else {
		m->link_pid = w.pid;
		m->link_seq = 0;
	}
	return 0;
}

int cage_stop(struct machine *m, struct err *e)
{
	struct wardd_cage_stop q = { .head = head_of(WARDD_CAGE_STOP) };
	struct wardd_answer w = { 0 };
	bool unknown = false;
	str_copy(q.machine, sizeof(q.machine), m->id);
	int r = ask(m->agent, &q, sizeof(q), NULL, 0, &w, sizeof(w), &unknown, e);
	if (r == 0)
		r = answer_of(&w, e);
	if (r < 0 && r != -ENOENT)
		return r;
	m->cage = false;
	m->link_pid = m->monitor_pid = 0;
	link_forget(m);
	return 0;
}

/* ---- the list, and ends ---- */

static void take_list(struct agent *a, const struct wardd_cage_list *list)
{
	for (struct machine *m = a->machines; m; m = m->next) {
		m->cage = false;
		m->link_pid = m->monitor_pid = 0;
	}
	for (uint32_t i = 0; i < list->count && i < WARDD_MACHINES_MAX; i++) {
		const struct wardd_cage *c = &list->cage[i];
		if (!memchr(c->machine, 0, sizeof(c->machine)) || !id_is_machine(c->machine))
			continue;
		struct machine *m = machine_get(a, c->machine);
		if (!m)
			continue;
		m->cage = true;
		if (!m->r.launched)
			m->r.slot = c->slot; /* not on record: its uid is taken all the same */
		m->link_pid = c->pid[WARDD_ROLE_LINK];
		m->monitor_pid = c->pid[WARDD_ROLE_MONITOR];
		m->cage_generation = c->generation;
	}
	a->cages_known = true;
	for (struct machine *m = a->machines; m; m = m->next) {
		if (m->link_pid)
			link_watch(m);
		else
			link_forget(m);
		machine_turn_soon(m);
	}
}

static int list_cages(struct agent *a, struct err *e)
{
	struct wardd_cage_stop q = { .head = head_of(WARDD_CAGE_LIST) };
	struct wardd_cage_list *list = calloc(1, sizeof(*list));
	if (!list)
		return err_set(e, ERR_NO_MEMORY, "no memory for the list of cages");
	int r = connect_calls(a, e);
	if (r == 0)
		r = ipc_call(a->wardd_calls, &q, sizeof(q), NULL, 0, list, sizeof(*list), NULL,
		    NULL, CALL_MS, e);
	if (r == 0)
		take_list(a, list);
	free(list);
	return r;
}

static void take_exit(struct agent *a, const struct wardd_exited *x)
{
	if (!memchr(x->machine, 0, sizeof(x->machine)))
		return;
	struct machine *m = machine_find(a, x->machine);
	if (!m)
		return;
	if (x->role == WARDD_ROLE_LINK) {
		m->link_pid = 0;
		link_forget(m);
	} else if (x->generation == m->cage_generation) {
		m->monitor_pid = 0;
		m->told_generation = x->generation;
		m->told_signal = x->signal;
		m->told_oom = x->oom != 0;
	}
	machine_turn_soon(m);
}

static int on_event(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct agent *a = arg;
	union {
		struct wardd_exited exited;
		struct wardd_answer answer;
	} u;
	struct err e;
	size_t len = 0;
	int r = ipc_recv(fd, &u, sizeof(u), &len, NULL, NULL, &e);
	if (r == -EAGAIN)
		return 0;
	if (r < 0 || len == 0) {
		lost(a);
		return 0;
	}
	if (len == sizeof(u.exited) && u.exited.head.type == WARDD_EXITED)
		take_exit(a, &u.exited);
	return 0;
}

/* ---- the connection ---- */

static int subscribe(struct agent *a, struct err *e)
{
	char path[108];
	struct ipc_head q = head_of(WARDD_SUBSCRIBE);
	int r = path_of(a, path, e);
	if (r < 0 || (r = ipc_connect(path, &a->wardd_events, e)) < 0)
		return r;
	if ((r = ipc_send(a->wardd_events, &q, sizeof(q), (struct bytes){ NULL, 0 }, NULL, 0, e)) <
	    0)
		return r;
	r = sd_event_add_io(a->loop, &a->wardd_source, a->wardd_events, EPOLLIN, on_event, a);
	return r < 0 ? err_sys(e, -r, "cannot watch wardd") : 0;
}

static int on_reconnect(sd_event_source *s, uint64_t usec, void *arg)
{
	struct agent *a = arg;
	struct err e = { 0 };
	static bool told;
	/* Subscribed first, listed second: an end in between is then told twice, never missed. */
	int r = a->wardd_events < 0 ? subscribe(a, &e) : 0;
	if (r == 0)
		r = list_cages(a, &e);
	if (r == 0) {
		told = false;
		return 0;
	}
	if (!told)
		log_err(&e, "wardd does not answer; trying on");
	told = true;
	lost(a);
	return 0;
}

static void lost(struct agent *a)
{
	a->wardd_source = sd_event_source_disable_unref(a->wardd_source);
	if (a->wardd_events >= 0)
		close(a->wardd_events);
	if (a->wardd_calls >= 0)
		close(a->wardd_calls);
	a->wardd_events = a->wardd_calls = -1;
	a->cages_known = false;
	if (!a->reconnect)
		return;
	(void)sd_event_source_set_time_relative(a->reconnect, AGAIN_US);
	(void)sd_event_source_set_enabled(a->reconnect, SD_EVENT_ONESHOT);
}

void cages_refresh(struct agent *a)
{
	struct err e;
	if (!a->cages_known)
		return; /* being asked for already */
	if (list_cages(a, &e) < 0) {
		log_err(&e, "cannot list the cages");
		lost(a);
	}
}

void cages_start(struct agent *a)
{
	a->wardd_events = a->wardd_calls = -1;
	if (sd_event_add_time_relative(
		a->loop, &a->reconnect, CLOCK_MONOTONIC, 0, 0, on_reconnect, a) < 0)
		log_error("cannot add a timer");
}

void cages_stop(struct agent *a)
{
	a->reconnect = sd_event_source_disable_unref(a->reconnect);
	lost(a);
}
