/* The machine's log ring: a file of fixed size, mapped, that survives the link's death at any
 * moment. Lines are numbered over the whole life of the machine; the oldest go when the room is
 * needed, and a reader sees from the numbers what it missed.
 *
 * A record is written whole before the head moves over it, and the tail moves before anything is
 * overwritten; both are single 8-byte stores. The last record is always kept: from it a new link
 * learns the next number, and which line of which boot was the last, so that a line delivered again
 * is known. */
#pragma once
#include "base/err.h"
#include "proto/guest.h"

enum { RING_SIZE = 1024 * 1024 };
enum {
	RING_CUT = 1,
	RING_GAP = 2
}; /* flags: the line goes on in the next; `count` lines were lost, this is their last number */

struct ring {
	struct ring_head *head; /* the mapping */
	uint8_t *data;
	uint64_t next_n;  /* of the next line */
	uint64_t last_at; /* where the last record begins; valid when there is one */
	uint8_t boot[GUEST_BOOT_ID_LEN];
	uint64_t guest_n; /* the last line of that boot that is here */
	bool any;
};

struct ring_line {
	uint64_t n, count, at_us, guest_n;
	uint8_t boot[GUEST_BOOT_ID_LEN];
	uint8_t stream, flags;
	size_t len;
	char text[GUEST_LINE_MAX];
};

/* Opens or makes the file; a damaged one is made anew. first_n: the number to begin with in a new
 * one. *ret_new: it was made. */
int ring_open(struct ring *r, int dirfd, const char *name, uint64_t first_n, bool *ret_new,
    struct err *e) must_check;
void ring_close(struct ring *r);

/* Would this line push out one that nobody has acknowledged? */
bool ring_would_lose(const struct ring *r, size_t len);

/* Takes a line; lines of the guest are taken once (the same or an older number of the same boot is
 * dropped; a hole becomes a gap record). False: it was a repetition. boot NULL: the link's own
 * line. */
bool ring_add(struct ring *r, const uint8_t *boot, uint64_t guest_n, uint64_t at_us,
    enum guest_log_stream stream, unsigned flags, const char *text, size_t len);

/* The first record with a number above `after`: *at is the reader's place (start with 0, it is kept
 * valid). False: none. */
bool ring_next(const struct ring *r, uint64_t after, uint64_t *at, struct ring_line *ret);

void ring_ack(struct ring *r, uint64_t n);
uint64_t ring_acked(const struct ring *r);
uint64_t ring_left(const struct ring *r); /* lines that are not acknowledged */
