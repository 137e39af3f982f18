/* Calling the API, over HTTPS or its unix socket, with libcurl. */
#pragma once
#include "base/json.h"

struct settings;
struct api;
int api_open(const struct settings *s, struct api **ret, struct err *e) must_check;
void api_close(struct api *a);

/* JSON both ways; either may be NULL. An answer of 400 or more becomes an error with the API's own
 * code, cause and next step. timeout_s 0: 60. */
int api_call(struct api *a, const char *method, const char *path, const json_t *body,
    unsigned timeout_s, json_t **ret, struct err *e) must_check;
/* Did the last call get an HTTP answer, whatever it was? */
bool api_answered(const struct api *a);
/* With one more request header, "Name: value". */
int api_call_header(struct api *a, const char *method, const char *path, const json_t *body,
    const char *header, unsigned timeout_s, json_t **ret, struct err *e) must_check;

/* A streamed answer, line by line. line returns non-zero to end it (then api_lines returns 0). */
int api_lines(struct api *a, const char *path, int (*line)(void *arg, const char *text, size_t len),
    void *arg, struct err *e) must_check;

/* HEAD: 0 there, -ENOENT not. */
int api_head(struct api *a, const char *path, struct err *e) must_check;
/* PUT of `size` bytes that read delivers: read returns the count, 0 at the end, negative on
 * failure. */
int api_put(struct api *a, const char *path, uint64_t size,
    ssize_t (*read)(void *arg, void *p, size_t n), void *arg, struct err *e) must_check;

/* POST with "Upgrade: protocol": a two-way stream after 101. */
struct api_stream;
int api_upgrade(struct api *a, const char *path, const char *protocol, struct api_stream **ret,
    struct err *e) must_check;
int api_stream_fd(const struct api_stream *s); /* for poll */
/* Bytes received; 0: the end; -EAGAIN: none now. */
ssize_t api_stream_recv(struct api_stream *s, void *p, size_t n, struct err *e) must_check;
int api_stream_send(
    struct api_stream *s, const void *p, size_t n, struct err *e) must_check; /* all of it */
void api_stream_close(struct api_stream *s);

/* "/v1/apps/%s/…" with each %s escaped as one path segment or query value. */
int api_path(struct buf *b, const char *fmt, ...) must_check printf_like(2, 3);
