/* POST /v1/exec-stream: an upgraded connection and a call of the guest joined, frame by frame
 * (proto/exec_frames.h), each side waiting for the other's room. */
#include "link/link.h"
#include "proto/exec_frames.h"
#include <sys/socket.h>

struct stream {
	struct link *link;
	struct h2_request *call; /* NULL: ended */
	int fd;
	sd_event_source *io;
	struct exec_walk up, down; /* both sides' frames are checked on their way */
	struct buf to_client;      /* at most what the guest's window allows */
	bool client_eof, ended;
};

static void stream_free(struct stream *s)
{
	if (s->call)
		h2_cancel(s->call);
	sd_event_source_disable_unref(s->io);
	close(s->fd);
	buf_done(&s->to_client);
	free(s);
}

static bool frames_ok(struct exec_walk *w, const uint8_t *p, size_t n)
{
	while (n) {
		size_t used;
		struct bytes part;
		if (exec_walk_feed(w, p, n, &used, &part) < 0)
			return false;
		p += used;
		n -= used;
	}
	return true;
}

static void stream_watch(struct stream *s)
{
	bool want = s->call && !s->client_eof && h2_room(s->call) >= 16384;
	(void)sd_event_source_set_io_events(
	    s->io, (want ? EPOLLIN : 0) | (s->to_client.len || s->ended ? EPOLLOUT : 0));
}

static void add_error(struct stream *s, const char *text)
{
	uint8_t head[EXEC_HEAD];
	exec_head_encode(head, EXEC_ERROR, strlen(text));
	if (buf_add(&s->to_client, head, sizeof head) == 0)
		(void)!buf_add(&s->to_client, text, strlen(text));
}

static void stream_data(void *arg, const uint8_t *p, size_t n)
{
	struct stream *s = arg;
	if (!frames_ok(&s->down, p, n) || buf_add(&s->to_client, p, n) < 0)
		s->ended = true; /* the next turn closes it */
	stream_watch(s);
}

static void stream_room(void *arg)
{
	stream_watch(arg);
}

static void stream_done(void *arg, int status, struct bytes body, const struct err *e)
{
	struct stream *s = arg;
	s->call = NULL;
	s->ended = true;
	if (e || status != 200) {
		const char *text = e ? e->text : "the guest refused to run the command";
		if (s->down.have == 0) /* not into the middle of a frame */
			add_error(s, text);
	}
	stream_watch(s);
}

static bool stream_flush(struct stream *s)
{
	while (s->to_client.len) {
		ssize_t n =
		    send(s->fd, s->to_client.data, s->to_client.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		buf_consume(&s->to_client, (size_t)n);
		if (s->call)
			h2_consume(s->call, (size_t)n);
	}
	return !s->ended;
}

static bool stream_up(struct stream *s, const uint8_t *p, size_t n)
{
	if (!frames_ok(&s->up, p, n))
		return false;
	h2_write(s->call, p, n);
	return true;
}

static int stream_io(sd_event_source *src, int fd, uint32_t events, void *arg)
{
	struct stream *s = arg;
	uint8_t buf[16384];
	bool alive = stream_flush(s);
	if (alive && s->call && !s->client_eof && h2_room(s->call) >= sizeof buf &&
	    events & (EPOLLIN | EPOLLHUP)) {
		ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
		if (n > 0)
			alive = stream_up(s, buf, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			alive = false; /* a client that left has no use for the rest; half-closing
					  is no part of this protocol */
	} else if (events & (EPOLLERR | EPOLLHUP)) {
		alive = false;
	}
	if (alive)
		stream_watch(s);
	else
		stream_free(s);
	return 0;
}

static int stream_start(struct link *l, struct stream *s, struct buf *early, struct err *e)
{
	static const struct h2_request_ops ops = {
		.data = stream_data, .room = stream_room, .done = stream_done
	};
	s->link = l;
	s->up.to_guest = true;
	buf_init(&s->to_client, 2 * GUEST_WINDOW);
	int r = sd_event_add_io(l->loop, &s->io, s->fd, EPOLLIN, stream_io, s);
	if (r < 0)
		return err_sys(e, -r, "cannot watch the connection");
	r = h2_start(l->h2, "POST", "/exec", (struct bytes){ 0 }, true, 0, &ops, s, &s->call, e);
	if (r == 0 && early->len && !stream_up(s, (uint8_t *)early->data, early->len))
		r = err_set(e, ERR_PROTOCOL, "broken frames");
	return r;
}

void http_exec_stream(struct link *l, struct http_request *r)
{
	struct err e = { 0 };
	struct buf early;
	struct stream *s = calloc(1, sizeof *s);
	buf_init(&early, 65536);
	int k = 0;
	if (!s) {
		http_answer_empty(r, 503);
		return;
	}
	if (!l->greeted)
		k = err_set(&e, ERR_UNAVAILABLE, "the machine's guest is not there");
	if (k < 0) {
		free(s);
		http_answer_err(r, &e);
		return;
	}
	k = http_upgrade(r, "ward-exec", &s->fd, &early, &e);
	if (k < 0) {
		free(s);
		http_answer_err(r, &e);
		return;
	}
	if (stream_start(l, s, &early, &e) < 0)
		stream_free(s);
	buf_done(&early);
}
