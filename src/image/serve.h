/* What both halves of ward-image share: one process for each connection, so that one image's
 * trouble is its own. */
#pragma once
#include "proto/ipc_image.h"

enum { SERVE_WORKERS_MAX = 8 };

/* Answers one question by answer_progress (any number) and answer_done (once). fd is the peer's
 * passed fd, or -1; not the handler's. */
typedef void (*serve_fn)(int conn, enum daemon peer, const struct image_ask *ask, int fd);

/* allowed: bit (1 << daemon) for each peer that may connect. Returns only on failure. */
int serve(int listen_fd, unsigned allowed, serve_fn fn, struct err *e) must_check;

/* A peer that has gone does not matter: the work goes on, and its result is kept. */
void answer_progress(int conn, const struct image_ask *ask, uint64_t done, uint64_t total);
void answer_done(
    int conn, const struct image_ask *ask, int result, const char *digest, const struct err *e);

/* ask->digest as 64 hex digits, or an error. */
int ask_digest(const struct image_ask *ask, char dst[65], struct err *e) must_check;
