/* Splits a stream of bytes into lines of at most GUEST_LINE_MAX bytes. A longer one comes in
 * pieces, each but the last marked `cut`. */
#pragma once
#include "proto/guest.h"

struct lines {
	size_t len;
	char text[GUEST_LINE_MAX];
};

typedef void (*line_fn)(void *arg, const char *line, size_t len, bool cut);

void lines_feed(struct lines *l, const char *p, size_t n, line_fn fn, void *arg);
void lines_flush(
    struct lines *l, line_fn fn, void *arg); /* at the end: what has no newline is a line too */
