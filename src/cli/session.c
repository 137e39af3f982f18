#include "cli/session.h"
#include "base/file.h"
#include "base/str.h"
#include "cli/out.h"
#include "proto/exec_frames.h"
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>

struct session {
	struct api_stream *stream;
	bool tty, stdin_open, ended;
	int code;
	struct exec_walk walk;
	uint8_t payload[8 + 1024]; /* of EXIT and ERROR frames */
	size_t have;
};

static struct termios saved;
static bool is_raw;

static void terminal_back(void)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	is_raw = false;
}

static void terminal_raw(void)
{
	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return;
	struct termios raw = saved;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0) {
		is_raw = true;
		atexit(terminal_back);
	}
}

static int send_frame(
    struct session *s, enum exec_type type, const void *p, size_t n, struct err *e)
{
	uint8_t frame[EXEC_HEAD + EXEC_PAYLOAD_MAX];
	if (n > EXEC_PAYLOAD_MAX)
		return err_set(e, ERR_TOO_LARGE, "the command is too long");
	exec_head_encode(frame, type, n);
	if (n)
		memcpy(frame + EXEC_HEAD, p, n);
	return api_stream_send(s->stream, frame, EXEC_HEAD + n, e);
}

static bool window(struct winsize *w)
{
	return ioctl(STDIN_FILENO, TIOCGWINSZ, w) == 0 && w->ws_col && w->ws_row;
}

static int send_open(struct session *s, const json_t *words, struct err *e)
{
	struct winsize w;
	const char *term = getenv("TERM");
	cleanup_json json_t *open = json_pack("{s:O, s:b}", "cmd", words, "tty", s->tty);
	if (s->tty && window(&w)) {
		json_object_set_new(open, "cols", json_integer(w.ws_col));
		json_object_set_new(open, "rows", json_integer(w.ws_row));
	}
	if (s->tty)
		json_object_set_new(open, "env", json_pack("{s:s}", "TERM", term ? term : "xterm"));
	cleanup_free char *text = json_format(open);
	if (!text || strlen(text) > EXEC_OPEN_MAX)
		return err_set(
		    e, ERR_TOO_LARGE, "the command is longer than %d bytes", EXEC_OPEN_MAX);
	return send_frame(s, EXEC_OPEN, text, strlen(text), e);
}

static int send_resize(struct session *s, struct err *e)
{
	struct winsize w;
	if (!s->tty || !window(&w))
		return 0;
	uint8_t size[4] = { (uint8_t)(w.ws_col >> 8), (uint8_t)w.ws_col, (uint8_t)(w.ws_row >> 8),
		(uint8_t)w.ws_row };
	return send_frame(s, EXEC_RESIZE, size, sizeof(size), e);
}

static int from_stdin(struct session *s, struct err *e)
{
	uint8_t p[EXEC_PAYLOAD_MAX];
	ssize_t n = read(STDIN_FILENO, p, sizeof(p));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n > 0)
		return send_frame(s, EXEC_STDIN, p, (size_t)n, e);
	s->stdin_open = false;
	return send_frame(s, EXEC_STDIN_EOF, NULL, 0, e);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A piece of a frame's payload. */
static int on_part(struct session *s, struct bytes part, struct err *e)
{
	enum exec_type type = s->walk.type;
	if (type == EXEC_STDOUT || type == EXEC_STDERR)
		return io_write_all(type == EXEC_STDOUT ? STDOUT_FILENO : STDERR_FILENO, part.base,
			   part.len) < 0
			   ? err_set(e, ERR_SYSTEM, "the output cannot be written")
			   : 0;
	if (s->walk.first)
		s->have = 0;
	size_t n = MIN(part.len, sizeof(s->payload) - s->have);
	if (n)
		memcpy(s->payload + s->have, part.base, n);
	s->have += n;
	if (s->walk.left)
		return 0;
	s->ended = true;
	if (type == EXEC_ERROR)
		return err_set(e, ERR_INVALID, "the command was not started: %.*s",
		    (int)MIN(s->have, (size_t)300), (const char *)s->payload);
	uint32_t sig = be32(s->payload + 4);
	s->code = sig ? 128 + (int)(sig & 127) : (int)(be32(s->payload) & 255);
	return 0;
}

/* All that has come by now; with TLS more may be decrypted already than poll can see. */
static int from_machine(struct session *s, struct err *e)
{
	uint8_t p[16384];
	while (!s->ended) {
		ssize_t n = api_stream_recv(s->stream, p, sizeof(p), e);
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		if (n == 0)
			return err_set(e, ERR_UNAVAILABLE,
			    "the connection to the machine was lost; the command may still run");
		for (size_t at = 0; at < (size_t)n && !s->ended;) {
			size_t used;
			struct bytes part;
			if (exec_walk_feed(&s->walk, p + at, (size_t)n - at, &used, &part) < 0)
				return err_set(
				    e, ERR_PROTOCOL, "the API sent a frame that is none");
			at += used;
			int r =
			    part.base || (s->walk.first && !s->walk.len) ? on_part(s, part, e) : 0;
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int loop(struct session *s, int signals, struct err *e)
{
	int r = from_machine(s, e); /* what came with the answer's head */
	while (r == 0 && !s->ended) {
		struct pollfd p[] = { { api_stream_fd(s->stream), POLLIN, 0 },
			{ signals, POLLIN, 0 }, { s->stdin_open ? STDIN_FILENO : -1, POLLIN, 0 } };
		if (poll(p, countof(p), -1) < 0 && errno != EINTR)
			return err_sys(e, errno, "waiting");
		struct signalfd_siginfo info;
		if (p[1].revents && read(signals, &info, sizeof(info)) == sizeof(info))
			r = info.ssi_signo == SIGWINCH
				? send_resize(s, e)
				: send_frame(s, EXEC_SIGNAL,
				      info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM",
				      info.ssi_signo == SIGINT ? 6 : 7, e);
		if (r == 0 && p[2].revents)
			r = from_stdin(s, e);
		if (r == 0 && p[0].revents)
			r = from_machine(s, e);
	}
	return r;
}

int session_run(
    struct api *api, const char *machine_path, const json_t *words, bool tty, struct err *e)
{
	struct session s = { .tty = tty, .stdin_open = true };
	cleanup_buf struct buf path;
	buf_init(&path, 1024);
	if (buf_add_str(&path, machine_path) < 0 || buf_add_str(&path, "/exec-stream") < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for a request");
	int r = api_upgrade(api, path.data, "ward-exec", &s.stream, e);
	if (r < 0)
		return r;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	cleanup_close int signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals < 0)
		r = err_sys(e, errno, "watching signals");
	if (r == 0)
		r = send_open(&s, words, e);
	if (r == 0 && tty && isatty(STDIN_FILENO))
		terminal_raw();
	if (r == 0)
		r = loop(&s, signals, e);
	terminal_back();
	api_stream_close(s.stream);
	return r < 0 ? r : s.code;
}
