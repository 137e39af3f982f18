/* Calling HTTP/1 over a unix socket with libcurl: one-shot calls that block within a bound (for
 * short local questions), and streams on the event loop. */
#pragma once
#include "base/json.h"
#include <systemd/sd-event.h>

struct http_reply {
	int status;
	struct buf body; /* caller buf_done */
};

/* body NULL: none. Headers: NULL-terminated "Name: value" list or NULL. The answer's body is at
 * most max bytes. On failure *ret is untouched. */
int http_call(const char *socket_path, const char *method, const char *path,
    const char *const *headers, struct bytes body, size_t max, int timeout_ms,
    struct http_reply *ret, struct err *e) must_check;
/* The same with JSON both ways (either may be NULL); a status >= 400 becomes an error made from the
 * body's "error" and "details". *ret is NULL when the answer has no body. */
int http_call_json(const char *socket_path, const char *method, const char *path,
    const json_t *body, int timeout_ms, json_t **ret, struct err *e) must_check;

/* ---- on the event loop ---- */
struct http_client; /* a curl multi handle on a loop */
struct http_transfer;
int http_client_new(sd_event *loop, struct http_client **ret, struct err *e) must_check;
/* Cancels what is under way, without calling back. May be called from a callback. */
void http_client_free(struct http_client *c);

struct http_transfer_ops {
	/* Non-zero ends the transfer; done is then called with an error. NULL: the body is
	 * collected for done, within max. */
	int (*data)(void *arg, const void *p, size_t n);
	/* Status 0 and err set: it failed. The transfer is gone. */
	void (*done)(void *arg, int status, struct bytes body, const struct err *err);
};
/* timeout_ms 0: none (a stream). socket_path NULL: url is whole and goes over the network (https
 * with ca_file, may be NULL). body and headers are copied. max bounds a collected body. ret may be
 * NULL. No callback is made before it returns. */
int http_start(struct http_client *c, const char *socket_path, const char *method,
    const char *path_or_url, const char *const *headers, struct bytes body, const char *ca_file,
    size_t max, int timeout_ms, const struct http_transfer_ops *ops, void *arg,
    struct http_transfer **ret, struct err *e) must_check;
void http_cancel(struct http_transfer *t);               /* done is not called; fine within data */
int http_transfer_status(const struct http_transfer *t); /* 0 before the status line */
/* Back-pressure: no data is called while paused. Unpausing may call data at once. */
void http_pause(struct http_transfer *t, bool pause);
