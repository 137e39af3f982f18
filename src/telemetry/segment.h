/* A segment: one file of sealed blocks, only ever appended to. A block holds some lines of one
 * machine.
 *
 *   file  = head 64 bytes, block, block, ...
 *   block = block head 80 bytes (readable: whose lines, which numbers), then the lines sealed by
 * XChaCha20-Poly1305
 *
 * Each block is bound to its place: the file's head, its own offset and its own head are the tag's
 * associated data, so that blocks cannot be moved, exchanged or taken from the middle without being
 * noticed. What a crash leaves at the end (a torn block) is cut off when the file is opened for
 * more. */
#pragma once
#include "base/buf.h"
#include "base/id.h"

enum {
	SEGMENT_KEY = 32,
	SEGMENT_TAG = 16,
	SEGMENT_HEAD = 64,
	BLOCK_HEAD = 80,
	BLOCK_MAX = 1024 * 1024, /* sealed bytes of one block */
	SEGMENT_BLOCKS_MAX = 32768,
};

struct segment_head {
	char magic[8]; /* "WARDLOG1" */
	uint64_t number, first_line, made_us;
	uint8_t id[16];
	uint32_t epoch, pad_;
	uint64_t reserved;
};

struct block_head {
	uint32_t magic, len; /* of the sealed bytes, tag included */
	char machine[MACHINE_ID_LEN + 2];
	uint64_t first_n, last_n, at_us; /* the machine's numbers; the last line's time */
	uint32_t lines, kind;
	uint8_t nonce[24];
};
enum block_kind { BLOCK_LINES, BLOCK_MARKS };

struct block_ref {
	uint32_t at, first; /* offset in the file; the number of its first line, counted from the
			       segment's */
	struct block_head head;
};

struct segment {
	struct segment_head head;
	int fd; /* open for more, or -1 */
	uint32_t size, lines;
	struct block_ref *blocks;
	size_t nblocks, cap;
};

void segment_name(char dst[24], uint64_t number);

/* A new file, durable in its folder, open for more. */
int segment_create(int dir, uint64_t number, uint64_t first_line, uint32_t epoch,
    struct segment *ret, struct err *e) must_check;

/* Opens and indexes the file by its block heads. more: every block is checked, and the file is cut
 * after the last good one; then it is open for more. *ret_cut (may be NULL) is how many bytes were
 * cut. -ENODATA: not even the head is whole. */
int segment_open(int dir, uint64_t number, const uint8_t key[SEGMENT_KEY], bool more,
    struct segment *ret, uint64_t *ret_cut, struct err *e) must_check;
void segment_done(struct segment *s);

/* Seals, writes and makes durable. On failure nothing was added (the file is as it was). */
int segment_append(struct segment *s, const uint8_t key[SEGMENT_KEY], const struct block_head *head,
    struct bytes lines, struct err *e) must_check;

/* Unseals one block's lines. */
int segment_read(int dir, const struct segment *s, const uint8_t key[SEGMENT_KEY], size_t block,
    struct buf *ret, struct err *e) must_check;
