/* Inside the HTTP server: a connection carries one request at a time; what a client sends ahead
 * (pipelining) waits in the connection's input, and in the socket beyond that. Everything moves
 * from the connection's own events: an answer is only written into `out` and wakes the connection,
 * so no handler can free what its caller still uses. */
#pragma once
#include "http/server.h"
#include "http/url.h"
#include "proto/http1.h"

enum {
	HTTP_IN_MAX = 64 * 1024,      /* read ahead of what was asked for */
	HTTP_STREAM_MAX = 256 * 1024, /* unsent bytes before a stream must wait */
	HTTP_OUT_MAX = 64 * 1024 * 1024,
	HTTP_LINGER_MS = 2000, /* an early answer's client may go on sending this long */
	HTTP_ANSWER_HEADERS_MAX = 16,
};

enum conn_phase {
	CONN_HEAD,   /* waiting for a header; no request yet */
	CONN_BODY,   /* collecting the whole body, the handler was not called */
	CONN_HANDLE, /* the handler has the request */
	CONN_FLUSH,  /* answered; the rest of `out` goes, then the next or the end */
	CONN_LINGER, /* our side is shut; throws away what still comes */
};

struct http_conn {
	struct http_server *server;
	struct http_conn *prev, *next;
	int fd;
	uid_t uid;
	enum daemon peer;
	sd_event_source *io, *timer, *kick;
	enum conn_phase phase;
	struct buf in, out;
	size_t seen;                  /* in.len when it last moved */
	size_t scanned;               /* of the header at the start of `in` */
	struct http_request *request; /* CONN_BODY, CONN_HANDLE */
	bool eof;                     /* the client sends no more */
	bool last;                    /* close after this answer */
	bool broken;                  /* writing failed: the client is gone */
	bool taken;                   /* upgraded: the fd is not ours any more */
};

struct http_request {
	struct http_conn *conn;
	struct buf head_bytes; /* what `head` points into */
	struct http1_request head;
	struct url url;
	char method[HTTP1_METHOD_MAX + 1];
	struct http1_chunks chunks;
	uint64_t left;  /* of a body whose length is known */
	bool body_done; /* read to its end, or there is none */
	struct buf body;
	void (*on_body)(void *user, const void *p, size_t n);
	bool stream_body, paused, end_told;
	bool streaming; /* a streamed answer was begun */
	bool chunked;   /* and it is framed as chunks */
	void (*ready)(void *user);
	bool wants_ready;
	bool head_only; /* HEAD: headers without a body */
	void *user;
	void (*gone)(void *user);
	struct {
		char *name, *value;
	} add[HTTP_ANSWER_HEADERS_MAX];
	size_t nadd;
};

struct http_server {
	sd_event *loop;
	int listen_fd;
	sd_event_source *accept, *pause; /* pause: accept is off until then */
	struct http_limits limits;
	http_handler_fn handler;
	void *arg;
	bool (*wants_stream)(void *arg, const char *method, const char *path);
	struct http_conn *conns;
	unsigned count;
};

/* conn.c */
int conn_start(struct http_server *s, int fd, struct err *e) must_check; /* takes the fd if 0 */
void conn_free(struct http_conn *c);
void conn_wake(struct http_conn *c); /* runs the connection from the loop, soon */

/* request.c */
enum request_progress { REQUEST_MORE, REQUEST_READY, REQUEST_BAD };
/* Takes a header out of c->in. READY: c->request is set. BAD: an error answer is in `out`. */
enum request_progress request_take_head(struct http_conn *c);
/* Moves body bytes from c->in to the request. READY: the body is whole. */
enum request_progress request_take_body(struct http_conn *c);
void request_free(struct http_request *r); /* tells gone */

/* answer.c: an error before, or instead of, a handler; the connection closes after it. */
void answer_refusal(struct http_conn *c, bool head_only, const struct err *e);
