#include "api/handlers.h"
#include "api/inside.h"
#include "base/clock.h"
#include "base/peer.h"
#include "base/str.h"
#include "proto/http1.h"
#include <fcntl.h>
#include <sys/socket.h>

/* POST .../exec-stream: after both ends have said "101", bytes go through both ways unread. The
 * link is asked first, so that a client is only upgraded into something that is there. */

enum { TUNNELS_MAX = 64, PIPE_MAX = 64 * 1024, HELLO_MS = 10 * 1000 };

static unsigned tunnels; /* this process has one API */

struct pipe {
	struct buf data;
	bool eof;  /* nothing more comes in */
	bool shut; /* and that was passed on */
};

struct tunnel {
	struct call *call; /* NULL once the client is upgraded */
	sd_event *loop;
	int link, client;
	sd_event_source *link_io, *client_io, *late;
	struct pipe to_link, to_client;
	size_t scanned;
};

static void tunnel_free(void *arg)
{
	struct tunnel *t = arg;
	sd_event_source_disable_unref(t->link_io);
	sd_event_source_disable_unref(t->client_io);
	sd_event_source_disable_unref(t->late);
	if (t->link >= 0)
		close(t->link);
	if (t->client >= 0)
		close(t->client);
	buf_done(&t->to_link.data);
	buf_done(&t->to_client.data);
	free(t);
	tunnels--;
}

/* ---- bytes both ways ---- */

/* False: that end is broken. */
static bool fill(struct pipe *p, int fd)
{
	size_t room = PIPE_MAX - p->data.len;
	if (p->eof || room == 0)
		return true;
	if (buf_reserve(&p->data, room) < 0)
		return false;
	ssize_t n = recv(fd, p->data.data + p->data.len, room, 0);
	if (n > 0)
		p->data.len += (size_t)n;
	else if (n == 0)
		p->eof = true;
	else
		return errno == EAGAIN || errno == EINTR;
	return true;
}

static bool drain(struct pipe *p, int fd)
{
	while (p->data.len > 0) {
		ssize_t n = send(fd, p->data.data, p->data.len, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		buf_consume(&p->data, (size_t)n);
	}
	if (p->eof && !p->shut) {
		p->shut = true;
		shutdown(fd, SHUT_WR);
	}
	return true;
}

/* A source that waits for nothing is off: it would report a hang-up without end. */
static void wait_for(sd_event_source *s, const struct pipe *in, const struct pipe *out)
{
	uint32_t events = 0;
	if (!in->eof && in->data.len < PIPE_MAX)
		events |= EPOLLIN;
	if (out->data.len > 0)
		events |= EPOLLOUT;
	sd_event_source_set_io_events(s, events);
	sd_event_source_set_enabled(s, events ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_bytes(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct tunnel *t = arg;
	bool good = true;
	if (revents & (EPOLLIN | EPOLLHUP))
		good = fd == t->link ? fill(&t->to_client, t->link) : fill(&t->to_link, t->client);
	good = good && drain(&t->to_link, t->link) && drain(&t->to_client, t->client);
	if (!good || (t->to_link.shut && t->to_client.shut)) {
		tunnel_free(t);
		return 0;
	}
	wait_for(t->link_io, &t->to_client, &t->to_link);
	wait_for(t->client_io, &t->to_link, &t->to_client);
	return 0;
}

/* ---- the beginning ---- */

static void begin(struct tunnel *t, size_t head)
{
	struct call *c = t->call;
	struct err e;
	struct buf early;
	buf_consume(&t->to_client.data, head);
	/* The upgrade ends the request, and the call with it: from here the tunnel is on its own.
	 */
	c->work = NULL;
	if (http_upgrade(c->http, "ward-exec", &t->client, &early, &e) < 0) {
		tunnel_free(t);
		call_fail(c, &e);
		return;
	}
	int r = early.len ? buf_add(&t->to_link.data, early.data, early.len) : 0;
	buf_done(&early);
	sd_event_source_disable_unref(t->late);
	sd_event_source_disable_unref(t->link_io);
	t->late = t->link_io = NULL;
	t->call = NULL;
	if (r < 0 || sd_event_add_io(t->loop, &t->link_io, t->link, EPOLLIN, on_bytes, t) < 0 ||
	    sd_event_add_io(t->loop, &t->client_io, t->client, EPOLLIN | EPOLLOUT, on_bytes, t) <
		0) {
		tunnel_free(t);
		return;
	}
	wait_for(t->link_io, &t->to_client, &t->to_link);
}

static int on_hello(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct tunnel *t = arg;
	struct call *c = t->call;
	struct http1_response answer;
	struct err e;
	if (!fill(&t->to_client, t->link)) {
		call_failf(c, ERR_UNAVAILABLE, "the machine closed the connection");
		return 0;
	}
	ssize_t n = http1_parse_response(t->to_client.data.data ? t->to_client.data.data : "",
	    t->to_client.data.len, &t->scanned, false, &answer, &e);
	if (n > 0 && answer.status == 101)
		begin(t, (size_t)n);
	else if (n > 0)
		call_failf(c, ERR_UNAVAILABLE, "the machine refused to run a command (status %d)",
		    answer.status);
	else if (n < 0 || t->to_client.eof)
		call_failf(c, ERR_UNAVAILABLE, "the machine does not answer as it should");
	return 0;
}

static int on_late(sd_event_source *s, uint64_t usec, void *arg)
{
	struct tunnel *t = arg;
	call_failf(t->call, ERR_UNAVAILABLE, "the machine does not answer");
	return 0;
}

static int dial(const char *path, int *ret, struct err *e)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Non-blocking: a unix socket connects at once or not at all. */
	if (fd < 0 || peer_connect(fd, path, e) < 0)
		return err_set(e, ERR_UNAVAILABLE, "the machine's ward-link does not answer");
	*ret = steal_fd(&fd);
	return 0;
}

void machines_exec_stream(struct call *c)
{
	static const char hello[] = "POST /v1/exec-stream HTTP/1.1\r\nHost: link\r\n"
				    "Connection: Upgrade\r\nUpgrade: ward-exec\r\n\r\n";
	struct machine_ref m;
	struct err e;
	char path[108];
	if (!call_machine(c, &m))
		return;
	const char *upgrade = http_header(c->http, "Upgrade");
	if (!upgrade || !streq(upgrade, "ward-exec")) {
		call_failf(c, ERR_INVALID,
		    "this path speaks only ward-exec: send Connection: Upgrade and Upgrade: "
		    "ward-exec");
		return;
	}
	if (!inside_socket(c, &m, path, sizeof(path)))
		return;
	if (tunnels >= TUNNELS_MAX) {
		call_failf(c, ERR_UNAVAILABLE, "%d such streams are open already", TUNNELS_MAX);
		return;
	}
	struct tunnel *t = calloc(1, sizeof(*t));
	if (!t) {
		call_failf(c, ERR_NO_MEMORY, "no memory for a stream");
		return;
	}
	tunnels++;
	t->call = c;
	t->loop = c->api->loop;
	t->link = t->client = -1;
	buf_init(&t->to_link.data, PIPE_MAX);
	buf_init(&t->to_client.data, PIPE_MAX);
	call_work(c, t, tunnel_free);
	if (dial(path, &t->link, &e) < 0) {
		call_fail(c, &e);
		return;
	}
	if (send(t->link, hello, sizeof(hello) - 1, MSG_NOSIGNAL) != sizeof(hello) - 1 ||
	    sd_event_add_io(t->loop, &t->link_io, t->link, EPOLLIN, on_hello, t) < 0 ||
	    sd_event_add_time(t->loop, &t->late, CLOCK_MONOTONIC, clock_mono_us() + HELLO_MS * 1000,
		10000, on_late, t) < 0)
		call_failf(c, ERR_UNAVAILABLE, "the machine's ward-link does not answer");
}
