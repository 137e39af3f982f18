/* The control port: an HTTP/2 server (nghttp2) on "ward.control". One session at a time; a SYNC
 * begins a new one and ends all calls of the old one (each call's `gone` is told). */
#pragma once
#include "base/buf.h"
#include "proto/guest.h"
#include <jansson.h>

struct call; /* one request */

struct route {
	const char *method, *path;
	/* Called when the whole body (at most GUEST_BODY_MAX) is there; or, with `stream`, before
	 * any of it. */
	void (*handle)(struct call *c);
	bool stream;
};

bool control_start(
    const uint8_t token[static GUEST_TOKEN_LEN], const struct route *routes, size_t n);

struct bytes call_body(const struct call *c);
void call_reply(struct call *c, int status, json_t *body); /* takes the reference; NULL: {} */
void call_reply_err(struct call *c, const struct err *e);

/* A streamed answer: begin, then write at most call_room bytes at a time; `room` is called when
 * there is some again. */
void call_begin(struct call *c);
size_t call_room(const struct call *c);
void call_write(struct call *c, const void *p, size_t n);
void call_end(struct call *c);

/* A streamed body: data (n == 0: its end). The handler says what it has used, which opens the
 * window again. */
void call_used(struct call *c, size_t n);
struct call_ops {
	void (*data)(void *user, const uint8_t *p, size_t n);
	void (*room)(void *user);
	void (*gone)(void *user); /* the call is over; c is not valid after it */
};
void call_set(struct call *c, const struct call_ops *ops, void *user);

/* Sends what calls have written; handlers of other events end with it. */
void control_flush(void);
