/* One app's log: its segments in the folder <lib>/logs/<app id>, bounded; every line has a number
 * of its own, which is what a cursor holds; for each machine the last line taken, so that a line
 * told again after a crash is known. */
#pragma once
#include "telemetry/lines.h"
#include "telemetry/segment.h"

struct applog_limits {
	uint64_t app_bytes;     /* then the oldest segment goes */
	uint32_t segment_bytes; /* then the next begins */
	uint64_t keep_us;       /* lines older than that go, a segment at a time */
};

struct mark {
	char machine[MACHINE_ID_LEN + 2];
	uint64_t last_n;
	bool forgotten; /* the machine is gone: not carried on into the next segment */
};

struct applog {
	char app_id[64];
	int dir;
	uint8_t *key; /* in locked memory */
	struct applog_limits limits;
	uint32_t epoch; /* of the line numbers: another after the folder was lost */
	struct segment *segments;
	size_t nsegments, cap;
	uint64_t bytes, next_line;
	struct mark *marks;
	size_t nmarks, marks_cap;
	uint64_t changes; /* grows with each append or removal */
};

enum { APPLOG_SEGMENTS_MAX = 4096, APPLOG_MARKS_MAX = 16384, APPLOG_BLOCK_TEXT = 512 * 1024 };

/* Opens, or makes the folder below logs_dir. key: 32 bytes, copied. A torn end is cut off; *ret_cut
 * is how many bytes. */
int applog_open(int logs_dir, const char *app_id, const uint8_t key[SEGMENT_KEY],
    const struct applog_limits *limits, struct applog **ret, uint64_t *ret_cut,
    struct err *e) must_check;
void applog_free(struct applog *a);

uint64_t applog_last_n(const struct applog *a, const char *machine); /* 0: none */

/* Keeps these lines (lines_take's), durable on return. */
int applog_add(struct applog *a, const char *machine, const struct taken *t, struct bytes lines,
    struct err *e) must_check;
/* A machine that does not live is not carried on into the next segment. */
void applog_lives(struct applog *a, const char *machine, bool lives);

/* Removes what is too old or too much; the newest segment stays. */
void applog_trim(struct applog *a, uint64_t now_us);
bool applog_drop_oldest(struct applog *a); /* false: only one is left */

/* ---- reading ---- */

uint64_t applog_first_line(const struct applog *a);
/* The line from which on the last `count` lines (of the machine, where it is not NULL) stand. */
uint64_t applog_tail(const struct applog *a, const char *machine, uint64_t count);

/* Is this line in none of the segments, although later ones are? A segment was taken away or cut.
 * *ret_next: the first line that is there again. */
bool applog_hole(const struct applog *a, uint64_t line, uint64_t *ret_next);

/* The next block at or after `line` that holds lines (of the machine): *ret_line is its first,
 * *ret_count how many. false: none. A damaged one is told with err and skipped by the caller. */
struct applog_block {
	size_t segment, block;
	uint64_t first_line, lines;
};
bool applog_next(
    const struct applog *a, uint64_t line, const char *machine, struct applog_block *ret);
int applog_read(const struct applog *a, const struct applog_block *b, struct buf *ret,
    struct err *e) must_check;
