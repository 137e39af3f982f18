/* The log port: frames of the guest into the ring, acknowledged only once they are there. */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "link/link.h"
#include <fcntl.h>
#include <stdarg.h>

enum {
	IN_MAX = 64 * 1024,
	CONSUMER_MS = 10000, /* a reader that asked for lines so recently is alive: rather wait for
				it than lose lines */
	HOLD_MS = 50,
	COST_PER_S = 50000, /* a line costs 1, and 1 for each KiB of it */
	COST_BURST = 50000,
	RESERVE = 65536,
	GAP_MAX = 1 << 30,
};

struct log_input {
	struct buf in;
	uint8_t boot[GUEST_BOOT_ID_LEN];
	bool hello;
	uint64_t last_n; /* of this connection */
	double tokens;
	uint64_t refilled_ms;
	sd_event_source *hold;
};

/* Numbers already given out must not come again when the ring (which is in memory) is lost with the
 * host's boot: what is reserved is on disk. */
static void reserve(struct link *l, uint64_t upto)
{
	char text[24];
	struct err e = { 0 };
	int n = snprintf(text, sizeof text, "%llu", (unsigned long long)upto);
	if (file_write(l->state_dir, "log-n", text, (size_t)n, 0600, &e) < 0)
		log_err(&e, "reserving log numbers");
	l->numbers_reserved = upto;
}

static uint64_t reserved(struct link *l)
{
	cleanup_free char *text = NULL;
	struct err e = { 0 };
	uint64_t n = 0;
	if (file_read(l->state_dir, "log-n", 32, &text, NULL, &e) == 0 &&
	    !str_u64(text, INT64_MAX / 2, &n))
		n = 0;
	return n;
}

static bool hold_for(struct link *l, unsigned ms)
{
	port_pause(&l->log, true);
	(void)sd_event_source_set_time_relative(l->input->hold, (uint64_t)ms * 1000);
	(void)sd_event_source_set_enabled(l->input->hold, SD_EVENT_ONESHOT);
	return true;
}

/* Must this line wait: because a live reader has not taken the oldest yet, or because the guest
 * writes faster than is good for the host? */
static bool must_wait(struct link *l, size_t len)
{
	struct log_input *in = l->input;
	uint64_t now = clock_mono_ms();
	if (ring_would_lose(&l->ring, len) && now - l->consumer_ms < CONSUMER_MS)
		return hold_for(l, HOLD_MS);
	in->tokens =
	    MIN(COST_BURST, in->tokens + (double)(now - in->refilled_ms) * COST_PER_S / 1000);
	in->refilled_ms = now;
	if (in->tokens < 0)
		return hold_for(l, HOLD_MS);
	in->tokens -= 1 + (double)len / 1024;
	return false;
}

static int take_frame(struct link *l, const struct guest_log_frame *f, const char *payload)
{
	struct log_input *in = l->input;
	if (f->type == GUEST_LOG_HELLO) {
		if (in->hello)
			return -EPROTO;
		in->hello = true;
		memcpy(in->boot, payload, sizeof in->boot);
		return 0;
	}
	/* Numbers only grow within a connection, and not by leaps that no guest could have lost. */
	bool same = !memcmp(in->boot, l->ring.boot, sizeof in->boot);
	uint64_t known = same ? l->ring.guest_n : 0;
	if (!in->hello || f->n <= in->last_n || (f->n > known && f->n - known > GAP_MAX))
		return -EPROTO;
	in->last_n = f->n;
	if (l->ring.next_n + GAP_MAX >= INT64_MAX)
		return -EPROTO;
	(void)ring_add(&l->ring, in->boot, f->n, f->at_us, f->stream,
	    f->flags & GUEST_LOG_CUT ? RING_CUT : 0, payload, f->len);
	if (l->ring.next_n > l->numbers_reserved)
		reserve(l, l->ring.next_n + RESERVE);
	return 0;
}

/* After the app's end the agent waits for the last lines to be kept: it is told when they are, and
 * when more have come. */
static void tell_left(struct link *l)
{
	bool drained = ring_left(&l->ring) == 0;
	if (l->phase == LINK_EXITED && drained != l->log_drained)
		state_changed(l);
	l->log_drained = drained;
}

/* Whole frames from the input, as many as may be taken now. */
static int process(struct link *l)
{
	struct log_input *in = l->input;
	uint64_t before = in->last_n;
	int r = 0;
	size_t at = 0;
	while (r == 0 && in->in.len - at >= GUEST_LOG_HEAD) {
		struct guest_log_frame f;
		const char *p = in->in.data + at;
		r = guest_log_head_decode((const uint8_t *)p, &f);
		if (r < 0 || in->in.len - at - GUEST_LOG_HEAD < f.len ||
		    (f.type == GUEST_LOG_LINE && must_wait(l, f.len)))
			break;
		r = take_frame(l, &f, p + GUEST_LOG_HEAD);
		at += GUEST_LOG_HEAD + f.len;
	}
	buf_consume(&in->in, at);
	if (in->last_n > before) {
		uint8_t ack[GUEST_LOG_ACK_LEN];
		guest_log_ack_encode(ack, in->last_n);
		/* When there is no room, a later one says the same and more. */
		if (port_write(&l->log, ack, sizeof ack) < 0)
			log_debug("an acknowledgement waits");
		tell_left(l);
		wait_wake(l);
	}
	return r;
}

static int on_input(void *arg, const uint8_t *p, size_t n)
{
	struct link *l = arg;
	if (buf_add(&l->input->in, p, n) < 0)
		return -EPROTO; /* cannot be: a frame and a slice fit */
	return process(l);
}

static int on_hold(sd_event_source *s, uint64_t usec, void *arg)
{
	struct link *l = arg;
	port_pause(&l->log, false);
	if (l->log.synced && process(l) < 0) {
		l->log.ops->fault(l, PORT_PROTOCOL, "broke the protocol of its log port");
		port_restart(&l->log, 2000);
	}
	return 0;
}

static void on_up(void *arg)
{
	struct link *l = arg;
	buf_reset(&l->input->in);
	l->input->hello = false;
	l->input->last_n = 0;
}

static void on_down(void *arg)
{
}

static void on_writable(void *arg)
{
}

static void on_fault(void *arg, enum port_fault f, const char *text)
{
	struct link *l = arg;
	if (marks_add(&l->marks, f == PORT_FLOOD ? MARK_FLOOD : MARK_PROTOCOL, text)) {
		log_warn("the guest %s (log port)", text);
		state_changed(l);
	}
}

void logs_acked(struct link *l, uint64_t upto)
{
	ring_ack(&l->ring, upto);
	tell_left(l);
	if (l->log.paused)
		(void)on_hold(NULL, 0, l);
}

void logs_say(struct link *l, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	(void)ring_add(&l->ring, NULL, 0, clock_wall_us(), GUEST_SYSTEM, 0, text,
	    n < 0 ? 0 : MIN((size_t)n, sizeof text - 1));
	if (l->ring.next_n > l->numbers_reserved)
		reserve(l, l->ring.next_n + RESERVE);
	tell_left(l);
	wait_wake(l);
}

int logs_start(struct link *l, struct err *e)
{
	static const struct port_ops ops = { on_up, on_input, on_down, on_writable, on_fault,
		on_down };
	bool fresh;
	l->numbers_reserved = reserved(l);
	l->consumer_ms =
	    clock_mono_ms(); /* who read from the link before us is given time to come back */
	int r = ring_open(&l->ring, l->run_dir, "ring", l->numbers_reserved + 1, &fresh, e);
	if (r < 0)
		return r;
	l->input = calloc(1, sizeof *l->input);
	if (!l->input)
		return err_set(e, ERR_NO_MEMORY, "no memory for the log port");
	buf_init(&l->input->in, IN_MAX);
	l->input->tokens = COST_BURST;
	l->input->refilled_ms = clock_mono_ms();
	r = sd_event_add_time_relative(l->loop, &l->input->hold, CLOCK_MONOTONIC, 0, 0, on_hold, l);
	if (r < 0)
		return err_sys(e, -r, "no timer");
	(void)sd_event_source_set_enabled(l->input->hold, SD_EVENT_OFF);
	l->log.loop = l->loop;
	l->log.ops = &ops;
	l->log.arg = l;
	return port_start(&l->log, e);
}

void logs_stop(struct link *l)
{
	port_stop(&l->log);
	if (l->ring.head)
		reserve(l, l->ring.next_n - 1);
	ring_close(&l->ring);
	if (l->input) {
		sd_event_source_disable_unref(l->input->hold);
		buf_done(&l->input->in);
		free(l->input);
	}
}
