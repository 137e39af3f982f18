/* An HTTP/1.1 server on sd-event for the control plane's unix sockets, on the strict parser of
 * proto/http1. One process, no threads; bounded connections, header and body sizes, and deadlines.
 */
#pragma once
#include "base/ipc.h"
#include "base/json.h"
#include <systemd/sd-event.h>

struct http_server;
struct http_request;

struct http_limits {
	size_t body_max;      /* a larger body: 413, unless the handler streams it (http_on_body) */
	unsigned connections; /* more wait in the backlog */
	unsigned idle_ms, header_ms, body_ms;
};

/* Called when the header is whole. The handler answers now or later (the request lives until it was
 * answered, or its client left). For a body: by default the whole body is read first (within
 * body_max) and then the handler called; a handler registered with stream=true is called before and
 * takes the body by http_on_body. */
typedef void (*http_handler_fn)(void *arg, struct http_request *r);

int http_server_start(sd_event *loop, int listen_fd, const struct http_limits *limits,
    http_handler_fn handler, void *arg,
    bool (*wants_stream)(void *arg, const char *method, const char *path), struct http_server **ret,
    struct err *e) must_check;
void http_server_stop(struct http_server *s);

/* What was asked. Pointers live as long as the request. */
const char *http_method(const struct http_request *r);
const char *http_path(const struct http_request *r); /* decoded once, no query, no "..", no NUL */
const char *http_query(
    const struct http_request *r, const char *key); /* decoded; NULL if absent; first of several */
const char *http_query_nth(const struct http_request *r, const char *key, size_t n);
/* The n-th parameter of all, in the order sent; false past the last. */
bool http_query_at(
    const struct http_request *r, size_t n, const char **ret_key, const char **ret_value);
const char *http_header(const struct http_request *r, const char *name); /* NULL if absent */
struct bytes http_body(const struct http_request *r);
uid_t http_peer_uid(const struct http_request *r);
enum daemon http_peer(const struct http_request *r);

/* Scratch pointer of the handler's own; gone is called once when the request ends in any way. */
void http_set_user(struct http_request *r, void *user, void (*gone)(void *user));
void *http_user(const struct http_request *r);

/* Answers. body is copied; json is borrowed. Each ends the request (r is gone after it). */
void http_answer(
    struct http_request *r, int status, const char *content_type, const void *body, size_t len);
void http_answer_json(struct http_request *r, int status, const json_t *body);
void http_answer_err(struct http_request *r,
    const struct err
	*err); /* {"error","status","details":{"cause","next"}} and the code's status */
void http_answer_empty(struct http_request *r, int status);
void http_add_header(
    struct http_request *r, const char *name, const char *value); /* before answering */

/* A streamed answer (chunked): begin, write any number of times, end. write returns -EAGAIN past
 * 256 KiB unsent (then wait for `ready`), -EPIPE when the client left. */
int http_stream_begin(struct http_request *r, int status, const char *content_type,
    void (*ready)(void *user)) must_check;
int http_stream_write(struct http_request *r, const void *p, size_t n) must_check;
void http_stream_end(struct http_request *r);

/* A streamed request body: data with n == 0 is its end. Pause and resume give back-pressure. */
void http_on_body(struct http_request *r, void (*data)(void *user, const void *p, size_t n));
void http_body_pause(struct http_request *r, bool pause);

/* 101: takes the connection over; bytes already read past the header are in *ret_early (caller
 * buf_done). The fd is the caller's. */
int http_upgrade(struct http_request *r, const char *protocol, int *ret_fd, struct buf *ret_early,
    struct err *e) must_check;
