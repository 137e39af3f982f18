/* The machine's log lines: numbered, in a bounded ring until the host has acknowledged them, sent
 * over port "ward.log". */
#pragma once
#include "guest/lines.h"
#include "guest/loop.h"

/* Opens the port. False: none, and lines go nowhere but the ring. */
bool logs_start(
    const uint8_t token[static GUEST_TOKEN_LEN], const uint8_t boot_id[static GUEST_BOOT_ID_LEN]);

/* Takes a line, always: a full ring loses its oldest line, which shows as a hole in the numbers. */
void logs_line(enum guest_log_stream stream, const char *line, size_t len, bool cut);

bool logs_all_acked(void);

/* A stream that becomes lines. While the ring is full and the host alive, it is not read, so that
 * the writer waits instead of losing lines; when the host has acknowledged nothing for 5 s the app
 * must not hang, and old lines are lost. */
struct log_source {
	struct watch watch;
	int fd; /* -1: at its end */
	enum guest_log_stream stream;
	struct lines lines;
	struct log_source *next;
};
void log_source_start(
    struct log_source *s, int fd, enum guest_log_stream stream); /* takes the fd (non-blocking) */
void log_source_stop(struct log_source *s);                      /* flushes and closes */
