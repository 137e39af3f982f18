#include "guest/logs.h"
#include "base/clock.h"
#include "guest/port.h"
#include "guest/say.h"
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

enum {
	RING = 512 * 1024,
	LOW_ROOM = 4 * (GUEST_LINE_MAX + GUEST_LOG_HEAD),
	PATIENCE_MS = 5000,
	OUT = 32768,
	READ = 16384
};

/* The ring holds whole frames as they go over the wire; positions only grow, and are taken modulo
 * RING. tail: the oldest not acknowledged; next: the first not handed to the port in this session;
 * head: the end. */
static uint8_t ring[RING];
static uint64_t tail, next, head;
static uint64_t next_n = 1, sent_n, acked_n;

/* What is on its way into the port: whole frames are copied here, so that the ring may drop its
 * oldest at any time. */
static uint8_t out[OUT];
static size_t out_len, out_at;

static struct port port;
static uint8_t boot_id[GUEST_BOOT_ID_LEN];
static uint8_t ack_buf[GUEST_LOG_ACK_LEN];
static size_t ack_have;
static struct log_source *sources;
static struct timer patience;
static bool lossy;

static void ring_copy_in(uint64_t at, const void *p, size_t n)
{
	size_t off = at % RING, first = MIN(n, RING - off);
	memcpy(ring + off, p, first);
	memcpy(ring, (const uint8_t *)p + first, n - first);
}

static void ring_copy_out(uint64_t at, void *p, size_t n)
{
	size_t off = at % RING, first = MIN(n, RING - off);
	memcpy(p, ring + off, first);
	memcpy((uint8_t *)p + first, ring, n - first);
}

static struct guest_log_frame frame_at(uint64_t at)
{
	uint8_t h[GUEST_LOG_HEAD];
	struct guest_log_frame f = { 0 };
	ring_copy_out(at, h, sizeof h);
	/* written by logs_line alone, so it always decodes */
	(void)!guest_log_head_decode(h, &f);
	return f;
}

static void drop_oldest(void)
{
	tail += GUEST_LOG_HEAD + frame_at(tail).len;
	next = MAX(next, tail);
}

static void flush(void *arg)
{
	for (;;) {
		while (next < head) {
			struct guest_log_frame f = frame_at(next);
			size_t n = GUEST_LOG_HEAD + f.len;
			if (n > OUT - out_len)
				break;
			ring_copy_out(next, out + out_len, n);
			out_len += n;
			next += n;
			sent_n = f.n;
		}
		size_t k = out_at < out_len ? port_write(&port, out + out_at, out_len - out_at) : 0;
		if (!k)
			return;
		out_at += k;
		memmove(out, out + out_at, out_len - out_at);
		out_len -= out_at;
		out_at = 0;
	}
}

static void reset(void *arg)
{
	next = tail;
	ack_have = 0;
	struct guest_log_frame hello = {
		.type = GUEST_LOG_HELLO, .len = GUEST_BOOT_ID_LEN, .at_us = clock_wall_us()
	};
	hello.n = next < head ? frame_at(next).n : next_n;
	guest_log_head_encode(out, &hello);
	memcpy(out + GUEST_LOG_HEAD, boot_id, GUEST_BOOT_ID_LEN);
	out_len = GUEST_LOG_HEAD + GUEST_BOOT_ID_LEN;
	out_at = 0;
	sent_n = acked_n;
}

static void resume(void);

static void acked(uint64_t n)
{
	if (n <= acked_n || n > sent_n)
		return;
	acked_n = n;
	while (tail < next && frame_at(tail).n <= n)
		drop_oldest();
	lossy = false;
	loop_timer_off(&patience);
	resume();
}

static void input(void *arg, const uint8_t *p, size_t n)
{
	while (n) {
		size_t k = MIN(n, sizeof ack_buf - ack_have);
		memcpy(ack_buf + ack_have, p, k);
		ack_have += k;
		p += k;
		n -= k;
		uint64_t upto;
		if (ack_have < sizeof ack_buf)
			return;
		ack_have = 0;
		if (guest_log_ack_decode(ack_buf, &upto) < 0) {
			port.session = false; /* cut by a reconnect: the next SYNC puts it right */
			return;
		}
		acked(upto);
	}
	flush(NULL);
}

void logs_line(enum guest_log_stream stream, const char *line, size_t len, bool cut)
{
	struct guest_log_frame f = {
		.type = GUEST_LOG_LINE,
		.stream = (uint8_t)stream,
		.flags = cut ? GUEST_LOG_CUT : 0,
		.len = (uint32_t)MIN(len, GUEST_LINE_MAX),
		.n = next_n++,
		.at_us = clock_wall_us(),
	};
	uint8_t h[GUEST_LOG_HEAD];
	guest_log_head_encode(h, &f);
	while (head - tail + sizeof h + f.len > RING)
		drop_oldest();
	ring_copy_in(head, h, sizeof h);
	ring_copy_in(head + sizeof h, line, f.len);
	head += sizeof h + f.len;
}

bool logs_all_acked(void)
{
	return tail == head;
}

void say(const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	size_t len = n < 0 ? 0 : MIN((size_t)n, sizeof text - 1);
	logs_line(GUEST_SYSTEM, text, len, false);
	cleanup_close int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!dprintf(fd, "<6>ward-init: %s\n", text);
	if (port.session)
		flush(NULL);
}

bool logs_start(
    const uint8_t token[static GUEST_TOKEN_LEN], const uint8_t boot[static GUEST_BOOT_ID_LEN])
{
	memcpy(boot_id, boot, sizeof boot_id);
	port = (struct port){ .name = GUEST_PORT_LOG,
		.token = token,
		.reset = reset,
		.input = input,
		.writable = flush };
	return port_open(&port);
}

/* ---- sources ---- */
static bool may_read(void)
{
	return lossy || RING - (head - tail) >= LOW_ROOM;
}

static void lost_patience(void *arg)
{
	lossy = true;
	resume();
}

static void on_line(void *arg, const char *line, size_t len, bool cut)
{
	const struct log_source *s = arg;
	logs_line(s->stream, line, len, cut);
}

static void source_ready(void *arg, uint32_t events)
{
	struct log_source *s = arg;
	static char buf[READ];
	if (!may_read()) {
		loop_remove(&s->watch);
		if (!patience.linked)
			loop_timer(&patience, PATIENCE_MS, lost_patience, NULL);
		return;
	}
	/* Empty lines are the worst: each byte read becomes a whole head in the ring, and the line
	 * begun before comes too. */
	size_t room = RING - (size_t)(head - tail),
	       most = (room - GUEST_LINE_MAX - GUEST_LOG_HEAD) / (GUEST_LOG_HEAD + 1);
	ssize_t n = read(s->fd, buf, lossy ? sizeof buf : MIN(sizeof buf, most));
	if (n > 0) {
		lines_feed(&s->lines, buf, (size_t)n, on_line, s);
		if (port.session)
			flush(NULL);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		log_source_stop(s); /* a terminal's end reads as EIO */
	}
}

static void resume(void)
{
	for (struct log_source *s = sources; s; s = s->next)
		if (s->fd >= 0 && s->watch.fd < 0 && may_read())
			loop_add(&s->watch, s->fd, EPOLLIN, source_ready, s);
}

void log_source_start(struct log_source *s, int fd, enum guest_log_stream stream)
{
	s->fd = fd;
	s->stream = stream;
	s->lines.len = 0;
	s->next = sources;
	sources = s;
	loop_add(&s->watch, fd, EPOLLIN, source_ready, s);
}

void log_source_stop(struct log_source *s)
{
	if (s->fd < 0)
		return;
	lines_flush(&s->lines, on_line, s);
	if (port.session)
		flush(NULL);
	loop_remove(&s->watch);
	close(s->fd);
	s->fd = -1;
	for (struct log_source **p = &sources; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
}
