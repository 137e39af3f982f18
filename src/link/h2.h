/* An HTTP/2 client towards a guest that may be hostile (nghttp2): one session for each connection
 * of the control port. Bounded: nghttp2's memory, frames a second, header bytes, bodies, requests
 * at a time, and time. */
#pragma once
#include "base/buf.h"
#include <systemd/sd-event.h>

struct h2;
struct h2_request;

struct h2_ops {
	int (*send)(void *arg, const void *p, size_t n); /* -EAGAIN: later (h2_writable) */
	bool (*may_send)(void *arg);
	void (*dead)(void *arg, bool hostile,
	    const char *why); /* close the connection; h2_free may be called from here */
	void (*too_fast)(void *arg, unsigned pause_ms); /* more frames than a well-behaved guest
							   sends: stop reading for so long */
};

int h2_new(
    sd_event *loop, const struct h2_ops *ops, void *arg, struct h2 **ret, struct err *e) must_check;
void h2_free(struct h2 *h); /* every request that is under way is told: done with an error */
int h2_input(struct h2 *h, const uint8_t *p, size_t n) must_check; /* negative: protocol error */
void h2_writable(struct h2 *h);

struct h2_request_ops {
	/* NULL: the body is collected. What was taken is given back to the window by h2_consume. */
	void (*data)(void *arg, const uint8_t *p, size_t n);
	void (*room)(void *arg); /* what was written of the body is gone */
	/* Always once; the request is gone after it. status 0: no whole answer, and e says why. */
	void (*done)(void *arg, int status, struct bytes body, const struct err *e);
};

enum { H2_BODY_MAX = 1024 * 1024, H2_STREAM_MAX = 64 * 1024, H2_REQUESTS_MAX = 64 };

/* body: sent whole, copied. stream: more follows by h2_write. timeout_ms 0: none. */
int h2_start(struct h2 *h, const char *method, const char *path, struct bytes body, bool stream,
    unsigned timeout_ms, const struct h2_request_ops *ops, void *arg, struct h2_request **ret,
    struct err *e) must_check;
size_t h2_room(const struct h2_request *q); /* bytes that h2_write takes now */
void h2_write(struct h2_request *q, const void *p, size_t n);
void h2_end(struct h2_request *q);
void h2_consume(struct h2_request *q, size_t n);
void h2_cancel(struct h2_request *q); /* without telling done */
