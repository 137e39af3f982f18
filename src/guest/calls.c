#include "guest/calls.h"
#include "base/clock.h"
#include "base/json.h"
#include "guest/app.h"
#include "guest/say.h"
#include <string.h>
#include <sys/time.h>
#include <sys/utsname.h>

enum { LISTENERS = 4 };

static const char *boot_id, *guest_key;
static struct call *listeners[LISTENERS];

static json_t *state_json(void)
{
	const struct app_exit *x = app_exit_record();
	json_t *j = json_pack("{s:s, s:I, s:I}", "phase", app_phase_names[app_phase()],
	    "generation", (json_int_t)app_generation(), "started_at", (json_int_t)app_started_at());
	if (j && x)
		(void)json_object_set_new(j, "exit",
		    json_pack("{s:i, s:i, s:b, s:b, s:I}", "code", x->code, "signal", x->signal,
			"oom", x->oom, "requested_stop", x->requested_stop, "at",
			(json_int_t)x->at_ms));
	return j;
}

static int body_json(struct call *c, json_t **ret, struct err *e)
{
	struct bytes b = call_body(c);
	int r = json_parse(b.base ? b.base : "", b.len, ret, e);
	if (r == 0 && !json_is_object(*ret)) {
		json_decref(*ret);
		*ret = NULL;
		return err_set(e, ERR_INVALID, "the body is not a JSON object");
	}
	return r;
}

/* The guest's clock follows the host's: under emulation it may tick by lost timer interrupts, and
 * then it falls behind. Forward at once (all that waits is late already); back by a step only when
 * far off, else by slewing, so that time does not repeat. */
static void clock_follow(uint64_t host_us)
{
	int64_t ahead = (int64_t)(clock_wall_us() - host_us);
	if (ahead < -10000 || ahead > 1000000) {
		struct timeval tv = { .tv_sec = (time_t)(host_us / 1000000),
			.tv_usec = (suseconds_t)(host_us % 1000000) };
		(void)settimeofday(&tv, NULL);
	} else if (ahead > 10000) {
		struct timeval slew = { .tv_usec = (suseconds_t)-ahead };
		(void)adjtime(&slew, NULL);
	}
}

static void call_time(struct call *c)
{
	struct err e = { 0 };
	cleanup_json json_t *in = NULL;
	int64_t now = 0;
	int r = body_json(c, &in, &e);
	if (r == 0)
		r = json_need_int(in, "", "now_us", 1, INT64_MAX / 2, &now, &e);
	if (r < 0) {
		call_reply_err(c, &e);
		return;
	}
	clock_follow((uint64_t)now);
	call_reply(c, 200, NULL);
}

static void call_hello(struct call *c)
{
	struct err e = { 0 };
	cleanup_json json_t *in = NULL;
	int64_t now = 0;
	int r = body_json(c, &in, &e);
	if (r == 0)
		r = json_need_int(in, "", "now_us", 1, INT64_MAX / 2, &now, &e);
	if (r < 0) {
		call_reply_err(c, &e);
		return;
	}
	clock_follow((uint64_t)now);
	struct utsname u = { 0 };
	(void)uname(&u);
	json_t *out = state_json();
	if (out)
		(void)json_object_update_new(out,
		    json_pack("{s:i, s:s, s:s, s:s, s:s}", "v", GUEST_VERSION, "boot_id", boot_id,
			"guest_key", guest_key, "kernel", u.release, "version", WARD_VERSION));
	call_reply(c, 200, out);
}

static void call_run(struct call *c)
{
	struct err e = { 0 };
	struct runconf conf = { 0 };
	struct bytes b = call_body(c);
	int r = runconf_parse(b.base ? b.base : "", b.len, &conf, &e);
	if (r == 0)
		r = app_run(&conf, &e);
	if (r < 0)
		call_reply_err(c, &e);
	else
		call_reply(c, 200, NULL);
}

static int parse_signal(struct call *c, int *ret_signal, uint64_t *ret_timeout, struct err *e)
{
	cleanup_json json_t *in = NULL;
	const char *name = NULL;
	int64_t ms = 5000;
	int r = body_json(c, &in, e), sig = 0;
	if (r < 0 || (r = json_opt_str(in, "", "signal", &name, e)) < 0 ||
	    (r = json_opt_int(in, "", "timeout_ms", 0, RUNCONF_TIMEOUT_MAX_MS, &ms, e)) < 0)
		return r;
	if (name && (sig = signal_parse(name)) < 0)
		return err_set(e, ERR_INVALID, "'%.20s' is not a signal", name);
	*ret_signal = sig;
	*ret_timeout = (uint64_t)ms;
	return 0;
}

static void call_stop(struct call *c)
{
	struct err e = { 0 };
	int sig = 0;
	uint64_t ms = 0;
	if (parse_signal(c, &sig, &ms, &e) < 0) {
		call_reply_err(c, &e);
		return;
	}
	app_stop(sig, ms);
	call_reply(c, 200, NULL);
}

static void call_signal(struct call *c)
{
	struct err e = { 0 };
	int sig = 0;
	uint64_t ms = 0;
	int r = parse_signal(c, &sig, &ms, &e);
	if (r == 0)
		r = sig ? app_signal(sig, &e) : err_set(&e, ERR_INVALID, "no signal named");
	if (r < 0)
		call_reply_err(c, &e);
	else
		call_reply(c, 200, NULL);
}

static void call_bye(struct call *c)
{
	call_reply(c, 200, NULL);
	app_bye();
}

/* ---- events ---- */
static void tell(struct call *c)
{
	cleanup_json json_t *j = state_json();
	cleanup_free char *text = j ? json_format(j) : NULL;
	if (!text || call_room(c) < strlen(text) + 1)
		return;
	call_write(c, text, strlen(text));
	call_write(c, "\n", 1);
}

static void listener_gone(void *user)
{
	struct call **slot = user;
	*slot = NULL;
}

static void call_events(struct call *c)
{
	static const struct call_ops ops = { .gone = listener_gone };
	for (size_t i = 0; i < LISTENERS; i++)
		if (!listeners[i]) {
			listeners[i] = c;
			call_set(c, &ops, &listeners[i]);
			call_begin(c);
			tell(c);
			return;
		}
	call_reply(c, 503, json_pack("{s:s}", "error", "too many listeners"));
}

static void changed(void)
{
	for (size_t i = 0; i < LISTENERS; i++)
		if (listeners[i])
			tell(listeners[i]);
	control_flush();
}

void calls_init(const char *boot, const char *key)
{
	boot_id = boot;
	guest_key = key;
	app_on_change(changed);
}

const struct route calls_table[] = {
	{ "POST", "/hello", call_hello, false },
	{ "POST", "/time", call_time, false },
	{ "PUT", "/run", call_run, false },
	{ "GET", "/events", call_events, false },
	{ "POST", "/stop", call_stop, false },
	{ "POST", "/signal", call_signal, false },
	{ "POST", "/bye", call_bye, false },
	{ "POST", "/exec", call_exec, true },
	{ "GET", "/ps", call_ps, false },
	{ "GET", "/stats", call_stats, false },
};
const size_t calls_count = countof(calls_table);
