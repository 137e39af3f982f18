/* Talking to a machine's ward-link: its state is followed by long polls, the run config put, the
 * stop asked. */
#include "agent/agent.h"
#include "base/str.h"

enum {
	POLL_WAIT_MS = 25000,
	POLL_MS = 35000,
	AGAIN_US = 250 * 1000,
	PUT_MS = 5000,
	STOP_MS = 10000,
	STATE_MAX = 256 * 1024
};

static bool socket_of(const struct machine *m, char dst[108])
{
	int n = snprintf(dst, 108, "%s/machines/%s/link.sock", m->agent->places.run, m->id);
	return n > 0 && n < 108;
}

/* ---- its state ---- */

static void poll_start(struct machine *m);

static int on_again(sd_event_source *s, uint64_t usec, void *arg)
{
	poll_start(arg);
	return 0;
}

static void poll_later(struct machine *m)
{
	if (m->poll_again)
		(void)sd_event_source_set_time_relative(m->poll_again, AGAIN_US);
	else if (sd_event_add_time_relative(
		     m->agent->loop, &m->poll_again, CLOCK_MONOTONIC, AGAIN_US, 0, on_again, m) < 0)
		return;
	(void)sd_event_source_set_enabled(m->poll_again, SD_EVENT_ONESHOT);
}

static int read_state(struct machine *m, const json_t *j, struct err *e)
{
	static const char *const phases[] = { "waiting", "booted", "running", "exited" };
	const char *phase = NULL, *boot = "";
	int64_t seq = 0, generation = 0, code = -1, signal = 0, at = 0, log_left = 0;
	struct machine_exit x = { .code = -1 };
	json_t *exit = NULL;
	int r = 0;
	if ((r = json_need_int(j, "", "seq", 0, INT64_MAX, &seq, e)) < 0 ||
	    (r = json_need_str(j, "", "phase", &phase, e)) < 0 ||
	    (r = json_opt_int(j, "", "generation", 0, UINT32_MAX, &generation, e)) < 0 ||
	    (r = json_opt_str(j, "", "boot_id", &boot, e)) < 0 ||
	    (r = json_opt_int(j, "", "log_left", 0, INT64_MAX, &log_left, e)) < 0 ||
	    (r = json_opt_object(j, "", "exit", &exit, e)) < 0)
		return r;
	if (exit &&
	    ((r = json_opt_int(exit, "exit", "code", -1, 255, &code, e)) < 0 ||
		(r = json_opt_int(exit, "exit", "signal", 0, 128, &signal, e)) < 0 ||
		(r = json_opt_int(exit, "exit", "at", 0, INT64_MAX, &at, e)) < 0 ||
		(r = json_opt_bool(exit, "exit", "oom", &x.oom, e)) < 0 ||
		(r = json_opt_bool(exit, "exit", "requested_stop", &x.requested_stop, e)) < 0))
		return r;
	size_t p = 0;
	while (p < countof(phases) && !streq(phase, phases[p]))
		p++;
	if (p == countof(phases))
		return err_set(e, ERR_PROTOCOL, "phase \"%.20s\" is not known", phase);
	x.code = (int32_t)code;
	x.signal = (int32_t)signal;
	x.at_ms = (uint64_t)at;
	m->link_seq = seq;
	m->phase = (enum link_phase)p;
	m->link_generation = (uint32_t)generation;
	m->link_exit = x;
	m->log_left = log_left;
	if (!str_copy(m->guest_boot, sizeof(m->guest_boot), boot))
		m->guest_boot[0] = 0;
	m->link_known = true;
	return 0;
}

static void on_state(void *arg, int status, struct bytes body, const struct err *err)
{
	struct machine *m = arg;
	struct err e;
	cleanup_json json_t *j = NULL;
	m->poll = NULL;
	bool had = m->link_known;
	int r = status == 200 ? json_parse(body.base, body.len, &j, &e)
			      : err_set(&e, ERR_UNAVAILABLE, "link answered %d", status);
	if (r == 0)
		r = read_state(m, j, &e);
	if (r < 0) {
		m->link_known = false;
		if (status != 0)
			log_err(&e, "machine %s: link's state", m->id);
		poll_later(m);
		if (!had)
			return;
	} else {
		poll_start(m);
	}
	machine_turn_soon(m);
}

static void poll_start(struct machine *m)
{
	static const struct http_transfer_ops ops = { .done = on_state };
	char path[108], url[96];
	struct err e;
	if (m->poll || !m->link_pid || !socket_of(m, path))
		return;
	if (!m->link_known) /* begin with what is, without waiting */
		m->link_seq = 0;
	snprintf(url, sizeof(url), "/v1/state?after=%lld&wait_ms=%d", (long long)m->link_seq,
	    m->link_known ? POLL_WAIT_MS : 0);
	if (http_start(m->agent->http, path, "GET", url, NULL, (struct bytes){ NULL, 0 }, NULL,
		STATE_MAX, POLL_MS, &ops, m, &m->poll, &e) < 0) {
		m->poll = NULL;
		poll_later(m);
	}
}

void link_watch(struct machine *m)
{
	poll_start(m);
}

void link_forget(struct machine *m)
{
	if (m->poll)
		http_cancel(m->poll);
	if (m->stop_call)
		http_cancel(m->stop_call);
	m->poll = m->stop_call = NULL;
	m->poll_again = sd_event_source_disable_unref(m->poll_again);
	m->link_known = false;
	m->link_seq = 0;
	m->phase = LINK_WAITING;
	m->link_generation = 0;
	m->log_left = 0;
}

/* ---- orders ---- */

int link_put_run(struct machine *m, const struct desired *d, struct err *e)
{
	char path[108];
	cleanup_json json_t *run = NULL;
	if (!socket_of(m, path))
		return err_set(e, ERR_INVALID, "the path of link's socket is too long");
	int r = runconf_build(m, d, &run, e);
	if (r == 0)
		r = http_call_json(path, "PUT", "/v1/run", run, PUT_MS, NULL, e);
	if (r < 0)
		return r;
	/* What link says from now on is of this generation. */
	bool same = m->link_known && m->link_generation == m->r.generation;
	if (!same) {
		m->link_generation = m->r.generation;
		m->phase = LINK_WAITING;
		m->link_known = true;
	}
	if (m->poll)
		http_cancel(m->poll);
	m->poll = NULL;
	m->link_seq = 0;
	poll_start(m);
	return 0;
}

static void on_stop(void *arg, int status, struct bytes body, const struct err *err)
{
	struct machine *m = arg;
	struct err e = { 0 };
	m->stop_call = NULL;
	struct machine_result res = { .act = ACT_STOP_ASK };
	if (status < 200 || status >= 300) {
		res.ret = err_set(&e, ERR_UNAVAILABLE, "link answered %d%s%s", status,
		    err ? ": " : "", err ? err->text : "");
		res.code = e.code;
		res.text = e.text;
	}
	machine_finish(m, &res);
}

int link_stop_app(struct machine *m, const char *signal, int64_t timeout_ms, struct err *e)
{
	static const struct http_transfer_ops ops = { .done = on_stop };
	static const char *const headers[] = { "Content-Type: application/json", NULL };
	char path[108], body[96];
	if (!socket_of(m, path))
		return err_set(e, ERR_INVALID, "the path of link's socket is too long");
	int n = snprintf(body, sizeof(body), "{\"signal\":\"%.15s\",\"timeout_ms\":%lld}", signal,
	    (long long)timeout_ms);
	return http_start(m->agent->http, path, "POST", "/v1/stop", headers,
	    (struct bytes){ body, (size_t)n }, NULL, 4096, STOP_MS, &ops, m, &m->stop_call, e);
}
