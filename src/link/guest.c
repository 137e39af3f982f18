/* The control port's conversation: hello, hand over the run config, listen to events, say bye. */
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "link/guest_says.h"
#include "link/link.h"

enum {
	HELLO_MS = 10000,
	RUN_MS = 60000,
	BYE_MS = 2000,
	TIME_MS = 5000,
	RETRY_MS = 1000,
	EVENT_LINE_MAX = 64 * 1024
};

static void mark(struct link *l, enum mark which, const char *text)
{
	if (marks_add(&l->marks, which, text)) {
		log_warn("the guest %s", text);
		state_changed(l);
	}
}

/* Not now: this is called from inside the session that it ends. */
static void again_later(struct link *l)
{
	(void)sd_event_source_set_time_relative(l->retry, 0);
	(void)sd_event_source_set_enabled(l->retry, SD_EVENT_ONESHOT);
}

static int on_retry(sd_event_source *s, uint64_t usec, void *arg)
{
	struct link *l = arg;
	port_restart(&l->control, RETRY_MS);
	return 0;
}

static void ignore_done(void *arg, int status, struct bytes body, const struct err *e)
{
}

static void bye(struct link *l)
{
	static const struct h2_request_ops ops = { .done = ignore_done };
	struct h2_request *q;
	struct err e = { 0 };
	if (l->h2 && h2_start(l->h2, "POST", "/bye", (struct bytes){ "{}", 2 }, false, BYE_MS, &ops,
			 l, &q, &e) < 0)
		log_err(&e, "telling the guest that its exit is kept");
}

static void took_exit(struct link *l, const struct link_exit *x)
{
	l->exit = *x;
	l->exit.at_ms = clock_wall_ms(); /* the guest's clock is the guest's */
	l->phase = LINK_EXITED;
	state_save_exit(l);
	bye(l);
}

static void take_state(struct link *l, const struct guest_state *s)
{
	if (s->generation && s->generation < l->generation) {
		if (s->phase == LINK_EXITED)
			bye(l); /* an older start's last word; the agent has gone on */
		return;
	}
	if (s->phase == l->phase && (s->generation == l->generation || !s->generation)) {
		if (s->phase == LINK_EXITED)
			bye(l); /* it asks again: the first answer was lost */
		return;
	}
	if (s->generation > l->generation) {
		mark(l, MARK_LIE, "says that it was started by a config that nobody gave it");
		return;
	}
	/* Of one boot, the phase only goes forward; a guest that says otherwise lies. */
	if (s->phase < l->phase) {
		mark(l, MARK_LIE, "says that it is in a phase it has left");
		return;
	}
	l->started_at = s->started_at;
	if (s->phase == LINK_EXITED)
		took_exit(l, &s->exit);
	else
		l->phase = s->phase;
	state_changed(l);
}

/* ---- the clock ---- */
static int on_tick(sd_event_source *src, uint64_t usec, void *arg)
{
	static const struct h2_request_ops ops = { .done = ignore_done };
	struct link *l = arg;
	struct h2_request *q;
	struct err e = { 0 };
	char text[64];
	(void)sd_event_source_set_time_relative(src, TIME_MS * 1000);
	(void)sd_event_source_set_enabled(src, SD_EVENT_ONESHOT);
	if (!l->greeted)
		return 0;
	snprintf(text, sizeof(text), "{\"now_us\":%llu}", (unsigned long long)clock_wall_us());
	if (h2_start(l->h2, "POST", "/time", (struct bytes){ text, strlen(text) }, false, TIME_MS,
		&ops, l, &q, &e) < 0)
		log_debug("the guest was not told the time: %s", e.text);
	return 0;
}

/* ---- the run config ---- */
static void run_done(void *arg, int status, struct bytes body, const struct err *e)
{
	struct link *l = arg;
	if (status == 200 || status == 409)
		return; /* 409: another generation runs; its events say which */
	l->handed = false;
	if (e) {
		log_err(e, "handing the run config to the guest");
		return; /* the connection ended, or a new one will ask again */
	}
	char text[160];
	snprintf(text, sizeof text, "refused its run config with status %d", status);
	log_warn("the guest %s", text);
	struct link_exit x = { .code = 125 };
	logs_say(l, "the guest refused the machine's config (status %d)", status);
	took_exit(l, &x);
	state_changed(l);
}

static void hand_over(struct link *l)
{
	static const struct h2_request_ops ops = { .done = run_done };
	struct h2_request *q;
	struct err e = { 0 };
	if (!l->h2 || !l->greeted || !l->config || l->handed || l->phase != LINK_BOOTED)
		return;
	cleanup_free char *text = json_format(l->config);
	if (!text)
		return;
	l->handed = true;
	if (h2_start(l->h2, "PUT", "/run", (struct bytes){ text, strlen(text) }, false, RUN_MS,
		&ops, l, &q, &e) < 0) {
		l->handed = false;
		log_err(&e, "handing the run config to the guest");
	}
	explicit_bzero(text, strlen(text)); /* environment and files may be secret */
}

static int take_token(struct link *l, const json_t *config, struct err *e)
{
	const char *hex = NULL;
	uint8_t token[GUEST_TOKEN_LEN];
	int r = json_opt_str(config, "", "token", &hex, e);
	if (r < 0 || !hex)
		return r;
	if (!hex_decode(token, sizeof token, hex))
		return err_set(e, ERR_INVALID, "token is not %d hex digits", 2 * GUEST_TOKEN_LEN);
	if (memcmp(token, l->control.token, sizeof token) != 0) {
		memcpy(l->control.token, token, sizeof token);
		memcpy(l->log.token, token, sizeof token);
		port_restart(&l->control, 1);
		port_restart(&l->log, 1);
	}
	return 0;
}

int guest_run(struct link *l, json_t *config, struct err *e)
{
	int64_t v = 0, generation = 0;
	int r;
	if ((r = json_need_int(config, "", "v", 1, 1, &v, e)) < 0 ||
	    (r = json_need_int(config, "", "generation", 1, INT64_MAX, &generation, e)) < 0)
		return r;
	uint64_t g = (uint64_t)generation;
	if (g < l->generation)
		return err_set(e, ERR_CONFLICT, "generation %llu is older than %llu",
		    (unsigned long long)g, (unsigned long long)l->generation);
	if ((r = take_token(l, config, e)) < 0)
		return r;
	bool known = l->config != NULL;
	if (g == l->generation && (known || l->phase == LINK_RUNNING || l->phase == LINK_EXITED))
		return 0; /* told already, by us or by the link before us */
	json_decref(l->config);
	l->config = json_copy(config);
	(void)json_object_del(l->config, "token");
	l->handed = false;
	if (g > l->generation) {
		l->generation = g;
		state_save_generation(l);
		/* A guest that waits for its config is the one this generation is for; any other is
		 * of before. */
		if (l->phase != LINK_BOOTED || !l->greeted)
			l->phase = LINK_WAITING;
		l->exit = (struct link_exit){ 0 };
		l->started_at = 0;
		state_changed(l);
	}
	port_hurry(&l->control);
	port_hurry(&l->log);
	hand_over(l);
	return 0;
}

/* ---- events ---- */
static void event_data(void *arg, const uint8_t *p, size_t n)
{
	struct link *l = arg;
	h2_consume(l->events, n);
	if (buf_add(&l->event_line, p, n) < 0) {
		mark(l, MARK_PROTOCOL, "sent an event that never ends");
		buf_reset(&l->event_line);
		return;
	}
	for (char *nl;
	     l->event_line.len && (nl = memchr(l->event_line.data, '\n', l->event_line.len));) {
		struct err e = { 0 };
		struct guest_state s;
		size_t len = (size_t)(nl - l->event_line.data);
		int r = guest_state_parse((struct bytes){ l->event_line.data, len }, &s, &e);
		buf_consume(&l->event_line, len + 1);
		if (r < 0)
			mark(l, MARK_PROTOCOL, "sent an event that cannot be read");
		else
			take_state(l, &s);
	}
}

static void event_done(void *arg, int status, struct bytes body, const struct err *e)
{
	struct link *l = arg;
	bool ours = l->greeted;
	l->events = NULL;
	if (ours) /* the guest ended it; when the connection did, `down` has said so before */
		again_later(l);
}

static void listen_events(struct link *l)
{
	static const struct h2_request_ops ops = { .data = event_data, .done = event_done };
	struct err e = { 0 };
	buf_reset(&l->event_line);
	if (h2_start(l->h2, "GET", "/events", (struct bytes){ 0 }, false, 0, &ops, l, &l->events,
		&e) < 0)
		again_later(l);
}

/* ---- hello ---- */
static void new_boot(struct link *l, const char *boot_id, const char *key)
{
	bool first = !streq(l->boot_id, boot_id);
	(void)str_copy(l->boot_id, sizeof l->boot_id, boot_id);
	(void)str_copy(l->guest_key, sizeof l->guest_key, key);
	if (!first)
		return;
	/* A config that another boot took is not given twice: its generation has run. */
	l->phase = LINK_BOOTED;
	l->started_at = 0;
	l->exit = (struct link_exit){ 0 };
	state_changed(l);
}

static int take_hello(struct link *l, struct bytes body, struct err *e)
{
	struct guest_hello h;
	int r = guest_hello_parse(body, &h, e);
	if (r < 0)
		return r;
	new_boot(l, h.boot_id, h.guest_key);
	l->greeted = true;
	take_state(l, &h.state);
	return 0;
}

static void hello_done(void *arg, int status, struct bytes body, const struct err *e)
{
	struct link *l = arg;
	struct err mine = { 0 };
	if (!l->h2 || (e && e->code == ERR_UNAVAILABLE))
		return; /* the connection ended */
	if (e || status != 200 || take_hello(l, body, &mine) < 0) {
		if (mine.code || status || (e && e->code == ERR_PROTOCOL))
			mark(l, MARK_PROTOCOL, "answered hello with nonsense");
		again_later(l);
		return;
	}
	listen_events(l);
	hand_over(l);
}

static void hello(struct link *l)
{
	static const struct h2_request_ops ops = { .done = hello_done };
	char text[64];
	struct h2_request *q;
	struct err e = { 0 };
	snprintf(text, sizeof text, "{\"now_us\":%llu}", (unsigned long long)clock_wall_us());
	if (h2_start(l->h2, "POST", "/hello", (struct bytes){ text, strlen(text) }, false, HELLO_MS,
		&ops, l, &q, &e) < 0)
		again_later(l);
}

/* ---- the session over the port ---- */
static int session_send(void *arg, const void *p, size_t n)
{
	struct link *l = arg;
	return port_write(&l->control, p, n);
}

static bool session_may_send(void *arg)
{
	struct link *l = arg;
	return l->control.synced && port_pending(&l->control) < 128 * 1024;
}

static void session_dead(void *arg, bool hostile, const char *why)
{
	struct link *l = arg;
	log_warn("the guest's session is given up: %s", why);
	again_later(l);
}

static int on_unpause(sd_event_source *s, uint64_t usec, void *arg)
{
	struct link *l = arg;
	port_pause(&l->control, false);
	return 0;
}

static void session_too_fast(void *arg, unsigned ms)
{
	struct link *l = arg;
	mark(l, MARK_FLOOD, "floods its control port with frames");
	port_pause(&l->control, true);
	(void)sd_event_source_set_time_relative(l->unpause, (uint64_t)ms * 1000);
	(void)sd_event_source_set_enabled(l->unpause, SD_EVENT_ONESHOT);
}

static void on_up(void *arg)
{
	static const struct h2_ops ops = { session_send, session_may_send, session_dead,
		session_too_fast };
	struct link *l = arg;
	struct err e = { 0 };
	if (h2_new(l->loop, &ops, l, &l->h2, &e) < 0) {
		log_err(&e, "beginning a session with the guest");
		again_later(l);
		return;
	}
	hello(l);
}

static int on_input(void *arg, const uint8_t *p, size_t n)
{
	struct link *l = arg;
	return l->h2 ? h2_input(l->h2, p, n) : -EPROTO;
}

static void on_down(void *arg)
{
	struct link *l = arg;
	struct h2 *h = l->h2;
	l->greeted = false;
	l->h2 = NULL;
	h2_free(h);
	if (l->phase == LINK_BOOTED)
		l->handed = false; /* whether the guest has it is asked by the next hello */
}

static void on_writable(void *arg)
{
	struct link *l = arg;
	if (l->h2)
		h2_writable(l->h2);
}

static void on_fault(void *arg, enum port_fault f, const char *text)
{
	mark(arg, f == PORT_FLOOD ? MARK_FLOOD : MARK_PROTOCOL, text);
}

/* The monitor has ended. When the guest had not told how, that is how. */
static void on_gone(void *arg)
{
	struct link *l = arg;
	if (l->phase != LINK_RUNNING && l->phase != LINK_BOOTED)
		return;
	l->exit = (struct link_exit){ .code = -1, .lost = true, .at_ms = clock_wall_ms() };
	l->phase = LINK_EXITED;
	logs_say(l, "the machine ended without a word: its monitor is gone");
	state_save_exit(l);
	state_changed(l);
}

int guest_start(struct link *l, struct err *e)
{
	static const struct port_ops ops = { on_up, on_input, on_down, on_writable, on_fault,
		on_gone };
	buf_init(&l->event_line, EVENT_LINE_MAX);
	int r =
	    sd_event_add_time_relative(l->loop, &l->unpause, CLOCK_MONOTONIC, 0, 0, on_unpause, l);
	if (r >= 0)
		r = sd_event_add_time_relative(
		    l->loop, &l->retry, CLOCK_MONOTONIC, 0, 0, on_retry, l);
	if (r >= 0)
		r = sd_event_add_time_relative(
		    l->loop, &l->tick, CLOCK_MONOTONIC, TIME_MS * 1000, 0, on_tick, l);
	if (r < 0)
		return err_sys(e, -r, "no timer");
	(void)sd_event_source_set_enabled(l->unpause, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(l->retry, SD_EVENT_OFF);
	l->control.loop = l->loop;
	l->control.ops = &ops;
	l->control.arg = l;
	return port_start(&l->control, e);
}

void guest_stop(struct link *l)
{
	port_stop(&l->control);
	sd_event_source_disable_unref(l->unpause);
	sd_event_source_disable_unref(l->retry);
	sd_event_source_disable_unref(l->tick);
	buf_done(&l->event_line);
	json_decref(l->config);
}
