#include "base/log.h"
#include "http/conn.h"
#include <fcntl.h>
#include <sys/socket.h>

enum { PAUSE_US = 100 * 1000 };

static int on_pause_over(sd_event_source *src, uint64_t usec, void *arg)
{
	struct http_server *s = arg;
	if (s->count < s->limits.connections)
		sd_event_source_set_enabled(s->accept, SD_EVENT_ON);
	return 0;
}

/* No descriptor or memory is left for another connection. The listener stays readable: to look at
 * once again would only burn the time of those that have one. */
static void pause_accepting(struct http_server *s)
{
	if (sd_event_source_set_time_relative(s->pause, PAUSE_US) >= 0 &&
	    sd_event_source_set_enabled(s->pause, SD_EVENT_ONESHOT) >= 0)
		sd_event_source_set_enabled(s->accept, SD_EVENT_OFF);
}

static int on_accept(sd_event_source *src, int fd, uint32_t revents, void *arg)
{
	struct http_server *s = arg;
	/* A bounded batch, so that a flood of connections does not keep others waiting. */
	for (int i = 0; i < 16 && s->count < s->limits.connections; i++) {
		int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (conn < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM)
				pause_accepting(s);
			break; /* else EAGAIN, or the client left already */
		}
		struct err e;
		if (conn_start(s, conn, &e) < 0) {
			log_err(&e, "taking a connection");
			close(conn);
		}
	}
	if (s->count >= s->limits.connections)
		sd_event_source_set_enabled(s->accept, SD_EVENT_OFF);
	return 0;
}

int http_server_start(sd_event *loop, int listen_fd, const struct http_limits *limits,
    http_handler_fn handler, void *arg,
    bool (*wants_stream)(void *arg, const char *method, const char *path), struct http_server **ret,
    struct err *e)
{
	int flags = fcntl(listen_fd, F_GETFL);
	if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_sys(e, errno, "the listening socket cannot be used");
	struct http_server *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, ERR_NO_MEMORY, "no memory for an HTTP server");
	*s = (struct http_server){ .loop = sd_event_ref(loop),
		.listen_fd = listen_fd,
		.limits = *limits,
		.handler = handler,
		.arg = arg,
		.wants_stream = wants_stream };
	int r = sd_event_add_io(loop, &s->accept, listen_fd, EPOLLIN, on_accept, s);
	if (r >= 0)
		r = sd_event_add_time(
		    loop, &s->pause, CLOCK_MONOTONIC, UINT64_MAX, 0, on_pause_over, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->pause, SD_EVENT_OFF);
	if (r < 0) {
		http_server_stop(s);
		return err_sys(e, -r, "the listening socket cannot be watched");
	}
	*ret = s;
	return 0;
}

void http_server_stop(struct http_server *s)
{
	if (!s)
		return;
	while (s->conns)
		conn_free(s->conns);
	sd_event_source_disable_unref(s->accept);
	sd_event_source_disable_unref(s->pause);
	sd_event_unref(s->loop);
	free(s);
}
