/* ward-link's HTTP interface (docs/architecture.md): the table of calls, who may make each, and the
 * short ones. */
#include "base/log.h"
#include "base/str.h"
#include "link/link.h"
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { CALL_MS = 10000, BODY_MAX = 2 * 1024 * 1024, CONNECTIONS = 64 };
enum { AGENT = 1 << 0, API = 1 << 1, TELEMETRY = 1 << 2, ALL = AGENT | API | TELEMETRY };

static int body_object(struct http_request *r, json_t **ret, struct err *e)
{
	struct bytes b = http_body(r);
	int k = json_parse(b.base ? b.base : "", b.len, ret, e);
	if (k == 0 && !json_is_object(*ret)) {
		json_decref(*ret);
		*ret = NULL;
		return err_set(e, ERR_INVALID, "the body is not a JSON object");
	}
	return k;
}

/* ---- state ---- */
static bool state_ready(const struct link *l, uint64_t after)
{
	return l->seq != after; /* a number from a link before us is news too */
}

static void state_answer(struct link *l, struct http_request *r, uint64_t after)
{
	cleanup_json json_t *j = state_json(l);
	http_answer_json(r, 200, j);
}

static void get_state(struct link *l, struct http_request *r)
{
	static const struct wait_kind kind = { state_ready, state_answer };
	wait_for(l, r, &kind);
}

static void put_run(struct link *l, struct http_request *r)
{
	struct err e = { 0 };
	cleanup_json json_t *j = NULL;
	int k = body_object(r, &j, &e);
	if (k == 0)
		k = guest_run(l, j, &e);
	if (k < 0)
		http_answer_err(r, &e);
	else
		http_answer_empty(r, 204);
}

/* ---- calls that the guest answers: passed on, and its answer back, as checked JSON ---- */
struct relay {
	struct http_request *request; /* NULL: its client left */
	struct h2_request *call;
	bool array;
};

static void relay_gone(void *user)
{
	struct relay *x = user;
	x->request = NULL;
	if (x->call)
		h2_cancel(x->call);
	free(x);
}

static void relay_answer(
    struct http_request *r, bool array, int status, struct bytes body, const struct err *failed)
{
	struct err e = { 0 };
	cleanup_json json_t *j = NULL;
	const char *text = NULL, *code = NULL;
	if (failed) {
		http_answer_err(r, failed);
		return;
	}
	if (json_parse(body.base ? body.base : "", body.len, &j, &e) < 0 ||
	    (array ? !json_is_array(j) : !json_is_object(j))) {
		err_set(&e, ERR_PROTOCOL, "the guest's answer cannot be read");
		http_answer_err(r, &e);
	} else if (status == 200) {
		http_answer_json(r, 200, j);
	} else {
		(void)!json_opt_str(j, "", "error", &text, &e);
		(void)!json_opt_str(j, "", "code", &code, &e);
		enum err_code c = code ? err_code_find(code) : ERR_NONE;
		err_set(&e, c ? c : ERR_PROTOCOL, "guest: %.300s", text ? text : "refused");
		http_answer_err(r, &e);
	}
}

static void relay_done(void *arg, int status, struct bytes body, const struct err *e)
{
	struct relay *x = arg;
	x->call = NULL;
	if (x->request)
		relay_answer(
		    x->request, x->array, status, body, e); /* x is gone after it, or soon */
}

static void relay(
    struct link *l, struct http_request *r, const char *method, const char *path, bool array)
{
	static const struct h2_request_ops ops = { .done = relay_done };
	struct err e = { 0 };
	struct relay *x = calloc(1, sizeof *x);
	int k = 0;
	if (!x) {
		http_answer_empty(r, 503);
		return;
	}
	if (!l->greeted)
		k = err_set(&e, ERR_UNAVAILABLE, "the machine's guest is not there");
	if (k == 0)
		k = h2_start(
		    l->h2, method, path, http_body(r), false, CALL_MS, &ops, x, &x->call, &e);
	if (k < 0) {
		free(x);
		http_answer_err(r, &e);
		return;
	}
	x->request = r;
	x->array = array;
	http_set_user(r, x, relay_gone);
}

static void post_stop(struct link *l, struct http_request *r)
{
	relay(l, r, "POST", "/stop", false);
}

static void post_signal(struct link *l, struct http_request *r)
{
	relay(l, r, "POST", "/signal", false);
}

static void get_ps(struct link *l, struct http_request *r)
{
	relay(l, r, "GET", "/ps", true);
}

static void get_stats(struct link *l, struct http_request *r)
{
	relay(l, r, "GET", "/stats", false);
}

/* ---- the table ---- */
static const struct {
	const char *method, *path;
	unsigned who;
	void (*handle)(struct link *l, struct http_request *r);
} calls[] = {
	{ "PUT", "/v1/run", AGENT, put_run },
	{ "GET", "/v1/state", ALL, get_state },
	{ "POST", "/v1/stop", AGENT, post_stop },
	{ "POST", "/v1/signal", AGENT | API, post_signal },
	{ "POST", "/v1/exec", API, http_exec },
	{ "POST", "/v1/exec-stream", API, http_exec_stream },
	{ "GET", "/v1/ps", API, get_ps },
	{ "GET", "/v1/stats", API | TELEMETRY, get_stats },
	{ "GET", "/v1/logs", TELEMETRY, http_get_logs },
	{ "POST", "/v1/logs/ack", TELEMETRY, http_ack_logs },
};

static bool allowed(const struct http_request *r, unsigned who)
{
	switch (http_peer(r)) {
	case DAEMON_WARDD: return true; /* root */
	case DAEMON_AGENT: return who & AGENT;
	case DAEMON_API: return who & API;
	case DAEMON_TELEMETRY: return who & TELEMETRY;
	default: return false;
	}
}

static void handle(void *arg, struct http_request *r)
{
	struct link *l = arg;
	struct err e = { 0 };
	bool path_known = false;
	for (size_t i = 0; i < countof(calls); i++) {
		if (!streq(calls[i].path, http_path(r)))
			continue;
		path_known = true;
		if (!streq(calls[i].method, http_method(r)))
			continue;
		if (allowed(r, calls[i].who)) {
			calls[i].handle(l, r);
		} else {
			err_set(&e, ERR_FORBIDDEN, "uid %u may not do this", http_peer_uid(r));
			http_answer_err(r, &e);
		}
		return;
	}
	err_set(&e, ERR_NOT_FOUND, path_known ? "no such method here" : "no such call");
	http_answer_err(r, &e);
}

static int listen_at(const char *path, int *ret, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || !str_copy(sa.sun_path, sizeof sa.sun_path, path))
		return err_sys(e, fd < 0 ? errno : ENAMETOOLONG, "socket %s", path);
	(void)unlink(path);
	/* Who may ask is decided by the peer's uid; the mode only lets the daemons' users reach the
	 * socket. */
	mode_t old = umask(0111);
	int r = bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, CONNECTIONS) < 0
		    ? -errno
		    : 0;
	umask(old);
	if (r < 0)
		return err_sys(e, -r, "cannot listen on %s", path);
	*ret = steal_fd(&fd);
	return 0;
}

int http_start_api(struct link *l, const char *path, struct http_server **ret, struct err *e)
{
	static const struct http_limits limits = { .body_max = BODY_MAX,
		.connections = CONNECTIONS,
		.idle_ms = 120000,
		.header_ms = 10000,
		.body_ms = 30000 };
	int fd = -1;
	int r = listen_at(path, &fd, e);
	return r < 0 ? r : http_server_start(l->loop, fd, &limits, handle, l, NULL, ret, e);
}
