#include "telemetry/segment.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

_Static_assert(sizeof(struct segment_head) == SEGMENT_HEAD, "no hidden padding");
_Static_assert(sizeof(struct block_head) == BLOCK_HEAD, "no hidden padding");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the files are little-endian");

static const char magic[8] = { 'W', 'A', 'R', 'D', 'L', 'O', 'G', '1' };
enum { BLOCK_MAGIC = 0x31424c57 }; /* "WLB1" */

/* What a block is bound to besides its key. */
struct place {
	struct segment_head segment;
	uint64_t at;
	struct block_head block;
};

static struct place place_of(const struct segment *s, uint64_t at, const struct block_head *b)
{
	return (struct place){ .segment = s->head, .at = at, .block = *b };
}

void segment_name(char dst[24], uint64_t number)
{
	snprintf(dst, 24, "%016llx.seg", (unsigned long long)number);
}

static int read_at(int fd, void *p, size_t n, uint64_t at)
{
	char *c = p;
	while (n) {
		ssize_t k = pread(fd, c, n, (off_t)at);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k ? -errno : -ENODATA;
		c += k;
		n -= (size_t)k;
		at += (uint64_t)k;
	}
	return 0;
}

int segment_create(int dir, uint64_t number, uint64_t first_line, uint32_t epoch,
    struct segment *ret, struct err *e)
{
	struct segment s = { .fd = -1, .size = SEGMENT_HEAD };
	memcpy(s.head.magic, magic, sizeof(magic));
	s.head.number = number;
	s.head.first_line = first_line;
	s.head.made_us = clock_wall_us();
	s.head.epoch = epoch;
	randombytes_buf(s.head.id, sizeof(s.head.id));
	char name[24];
	segment_name(name, number);
	int r = file_write(dir, name, &s.head, sizeof(s.head), 0600, e); /* whole or not at all */
	if (r < 0)
		return r;
	s.fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (s.fd < 0)
		return err_sys(e, errno, "cannot open %s", name);
	*ret = s;
	return 0;
}

static int index_block(struct segment *s, uint32_t at, const struct block_head *b)
{
	if (s->nblocks == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 32;
		struct block_ref *more = realloc(s->blocks, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->blocks = more;
		s->cap = cap;
	}
	s->blocks[s->nblocks++] = (struct block_ref){ at, s->lines, *b };
	s->lines += b->lines;
	s->size = at + BLOCK_HEAD + b->len;
	return 0;
}

static bool head_sound(const struct block_head *b)
{
	return b->magic == BLOCK_MAGIC && b->len >= SEGMENT_TAG && b->len <= BLOCK_MAX &&
	       b->lines <= BLOCK_MAX && b->kind <= BLOCK_MARKS &&
	       memchr(b->machine, 0, sizeof(b->machine)) &&
	       (!b->machine[0] || id_is_machine(b->machine));
}

static int unseal(const struct segment *s, const uint8_t key[SEGMENT_KEY], uint64_t at,
    const struct block_head *b, const uint8_t *sealed, uint8_t *dst)
{
	struct place p = place_of(s, at, b);
	return crypto_aead_xchacha20poly1305_ietf_decrypt(
		   dst, NULL, NULL, sealed, b->len, (const uint8_t *)&p, sizeof(p), b->nonce, key)
		   ? -EBADMSG
		   : 0;
}

static int check_block(const struct segment *s, int fd, const uint8_t key[SEGMENT_KEY], uint64_t at,
    const struct block_head *b)
{
	cleanup_free uint8_t *sealed = malloc(2 * (size_t)b->len);
	if (!sealed)
		return -ENOMEM;
	int r = read_at(fd, sealed, b->len, at + BLOCK_HEAD);
	if (r == 0)
		r = unseal(s, key, at, b, sealed, sealed + b->len);
	explicit_bzero(sealed + b->len, b->len);
	return r;
}

int segment_open(int dir, uint64_t number, const uint8_t key[SEGMENT_KEY], bool more,
    struct segment *ret, uint64_t *ret_cut, struct err *e)
{
	struct segment s = { .fd = -1, .size = SEGMENT_HEAD };
	struct stat st;
	char name[24];
	segment_name(name, number);
	cleanup_close int fd =
	    openat(dir, name, (more ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st))
		return err_sys(e, errno, "cannot open %s", name);
	int r = read_at(fd, &s.head, sizeof(s.head), 0);
	if (r == -ENODATA || (r == 0 && (memcmp(s.head.magic, magic, sizeof(magic)) != 0 ||
					    s.head.number != number))) {
		err_set(e, ERR_INVALID, "%s is no log segment", name);
		return -ENODATA;
	}
	while (r == 0 && s.size < st.st_size && s.nblocks < SEGMENT_BLOCKS_MAX) {
		struct block_head b;
		if (read_at(fd, &b, sizeof(b), s.size) < 0 || !head_sound(&b) ||
		    s.size + BLOCK_HEAD + b.len > (uint64_t)st.st_size)
			break;
		r = more ? check_block(&s, fd, key, s.size, &b) : 0;
		if (r == -EBADMSG) {
			r = 0;
			break;
		}
		if (r == 0)
			r = index_block(&s, s.size, &b);
	}
	uint64_t cut = (uint64_t)st.st_size - s.size;
	if (r == 0 && more && cut && (ftruncate(fd, s.size) || fdatasync(fd)))
		r = -errno;
	if (r < 0) {
		segment_done(&s);
		return err_sys(e, -r, "cannot read %s", name);
	}
	if (more)
		s.fd = steal_fd(&fd);
	if (ret_cut)
		*ret_cut = cut;
	*ret = s;
	return 0;
}

void segment_done(struct segment *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->blocks);
	*s = (struct segment){ .fd = -1 };
}

int segment_append(struct segment *s, const uint8_t key[SEGMENT_KEY], const struct block_head *head,
    struct bytes lines, struct err *e)
{
	if (lines.len > BLOCK_MAX - SEGMENT_TAG || s->nblocks >= SEGMENT_BLOCKS_MAX)
		return err_set(e, ERR_TOO_LARGE, "a log block of %zu bytes; at most %d", lines.len,
		    BLOCK_MAX - SEGMENT_TAG);
	struct block_head b = *head;
	b.magic = BLOCK_MAGIC;
	b.len = (uint32_t)lines.len + SEGMENT_TAG;
	randombytes_buf(b.nonce, sizeof(b.nonce)); /* random: after a cut, the same place is written
						      again with other bytes */
	cleanup_free uint8_t *out = malloc(BLOCK_HEAD + b.len);
	if (!out)
		return err_set(e, ERR_NO_MEMORY, "no memory for a log block");
	struct place p = place_of(s, s->size, &b);
	memcpy(out, &b, BLOCK_HEAD);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out + BLOCK_HEAD, NULL, lines.base, lines.len,
	    (const uint8_t *)&p, sizeof(p), NULL, b.nonce, key);
	int r = lseek(s->fd, s->size, SEEK_SET) < 0 ? -errno
						    : io_write_all(s->fd, out, BLOCK_HEAD + b.len);
	if (r == 0 && fdatasync(s->fd))
		r = -errno;
	if (r == 0)
		r = index_block(s, s->size, &b);
	if (r < 0) {
		/* what was written of it is cut off here, or when the file is opened again */
		if (ftruncate(s->fd, s->size))
			return err_sys(e, errno, "cannot take back half a log block");
		return err_sys(e, -r, "cannot write a log block");
	}
	return 0;
}

int segment_read(int dir, const struct segment *s, const uint8_t key[SEGMENT_KEY], size_t block,
    struct buf *ret, struct err *e)
{
	const struct block_ref *b = &s->blocks[block];
	char name[24];
	segment_name(name, s->head.number);
	cleanup_close int opened =
	    s->fd >= 0 ? -1 : openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int fd = s->fd >= 0 ? s->fd : opened;
	if (fd < 0)
		return err_sys(e, errno, "cannot open %s", name);
	uint8_t *sealed = malloc(b->head.len);
	if (!sealed || buf_reserve(ret, b->head.len) < 0) {
		free(sealed);
		return err_set(e, ERR_NO_MEMORY, "no memory for a log block");
	}
	int r = read_at(fd, sealed, b->head.len, b->at + BLOCK_HEAD);
	if (r == 0)
		r = unseal(s, key, b->at, &b->head, sealed, (uint8_t *)ret->data + ret->len);
	free(sealed);
	if (r < 0)
		return err_set(e, ERR_INVALID, "block %zu of %s is damaged", block, name);
	ret->len += b->head.len - SEGMENT_TAG;
	ret->data[ret->len] = 0;
	return 0;
}
