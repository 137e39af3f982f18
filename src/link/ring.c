#include "link/ring.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { PAGE = 4096, VERSION = 1 };
static const char magic[8] = { 'w', 'a', 'r', 'd', 'r', 'i', 'n', 'g' };

struct ring_head {
	char magic[8];
	uint32_t version, size;
	_Atomic uint64_t tail, head; /* only grow; modulo RING_SIZE */
	_Atomic uint64_t acked;
};

struct record {
	uint32_t len;
	uint8_t stream, flags;
	uint16_t zero;
	uint64_t n, count, at_us, guest_n;
	uint8_t boot[GUEST_BOOT_ID_LEN];
};
_Static_assert(sizeof(struct record) == 56 && sizeof(struct record) % 8 == 0,
    "a record's head does not need padding");

static size_t whole(size_t len)
{
	return sizeof(struct record) + ((len + 7) & ~(size_t)7);
}

static void copy_out(const struct ring *r, uint64_t at, void *dst, size_t n)
{
	size_t off = at % RING_SIZE, first = MIN(n, RING_SIZE - off);
	memcpy(dst, r->data + off, first);
	memcpy((uint8_t *)dst + first, r->data, n - first);
}

static void copy_in(struct ring *r, uint64_t at, const void *src, size_t n)
{
	size_t off = at % RING_SIZE, first = MIN(n, RING_SIZE - off);
	memcpy(r->data + off, src, first);
	memcpy(r->data, (const uint8_t *)src + first, n - first);
}

static struct record record_at(const struct ring *r, uint64_t at)
{
	struct record rec;
	copy_out(r, at, &rec, sizeof rec);
	return rec;
}

/* Walks all records. A file that a broken disk or another hand changed is refused here, once. */
static bool check(struct ring *r)
{
	uint64_t at = atomic_load(&r->head->tail), end = atomic_load(&r->head->head), n = 0;
	if (memcmp(r->head->magic, magic, sizeof magic) != 0 || r->head->version != VERSION ||
	    r->head->size != RING_SIZE || at > end || end - at > RING_SIZE)
		return false;
	r->any = at < end;
	while (at < end) {
		struct record rec = record_at(r, at);
		if (rec.len > GUEST_LINE_MAX || rec.stream >= GUEST_STREAM_MAX || rec.zero ||
		    end - at < whole(rec.len) || !rec.count || rec.n < rec.count ||
		    (n && rec.n - rec.count != n))
			return false;
		n = rec.n;
		r->last_at = at;
		r->next_n = n + 1;
		r->guest_n = rec.guest_n;
		memcpy(r->boot, rec.boot, sizeof r->boot);
		at += whole(rec.len);
	}
	if (atomic_load(&r->head->acked) > n)
		atomic_store(&r->head->acked, n);
	return true;
}

static void format(struct ring *r, uint64_t first_n)
{
	memset(r->head, 0, PAGE);
	r->head->version = VERSION;
	r->head->size = RING_SIZE;
	atomic_store(&r->head->acked, first_n - 1);
	memcpy(r->head->magic, magic, sizeof magic); /* last: before it, the file is not a ring */
	r->next_n = first_n;
	r->any = false;
	r->guest_n = 0;
	memset(r->boot, 0, sizeof r->boot);
}

int ring_open(
    struct ring *r, int dirfd, const char *name, uint64_t first_n, bool *ret_new, struct err *e)
{
	*r = (struct ring){ 0 };
	cleanup_close int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot open the log ring");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "the log ring is not a file");
	/* Blocks now, so that a full file system is an error here and not a SIGBUS later. */
	int num = posix_fallocate(fd, 0, PAGE + RING_SIZE);
	if (num)
		return err_sys(e, num, "no room for the log ring");
	void *map = mmap(NULL, PAGE + RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return err_sys(e, errno, "cannot map the log ring");
	r->head = map;
	r->data = (uint8_t *)map + PAGE;
	bool fresh = !check(r);
	if (fresh || !r->any)
		format(r, first_n);
	*ret_new = fresh || !r->any;
	return 0;
}

void ring_close(struct ring *r)
{
	if (r->head)
		munmap(r->head, PAGE + RING_SIZE);
	*r = (struct ring){ 0 };
}

uint64_t ring_acked(const struct ring *r)
{
	return atomic_load(&r->head->acked);
}

uint64_t ring_left(const struct ring *r)
{
	return r->any ? r->next_n - 1 - ring_acked(r) : 0;
}

bool ring_would_lose(const struct ring *r, size_t len)
{
	uint64_t at = atomic_load(&r->head->tail), end = atomic_load(&r->head->head);
	size_t need =
	    whole(MIN(len, GUEST_LINE_MAX)) + whole(0); /* a gap record may come before it */
	while (end - at + need > RING_SIZE) {
		struct record rec = record_at(r, at);
		if (rec.n > ring_acked(r))
			return true;
		at += whole(rec.len);
	}
	return false;
}

static void append(struct ring *r, struct record *rec, const char *text)
{
	uint64_t end = atomic_load(&r->head->head), tail = atomic_load(&r->head->tail);
	size_t need = whole(rec->len);
	while (end - tail + need > RING_SIZE)
		tail += whole(record_at(r, tail).len);
	atomic_store(&r->head->tail, tail);
	copy_in(r, end, rec, sizeof *rec);
	copy_in(r, end + sizeof *rec, text, rec->len);
	atomic_store(&r->head->head, end + need);
	r->last_at = end;
	r->any = true;
	r->next_n = rec->n + 1;
	r->guest_n = rec->guest_n;
	memcpy(r->boot, rec->boot, sizeof r->boot);
}

bool ring_add(struct ring *r, const uint8_t *boot, uint64_t guest_n, uint64_t at_us,
    enum guest_log_stream stream, unsigned flags, const char *text, size_t len)
{
	struct record rec = { .stream = (uint8_t)stream, .at_us = at_us, .count = 1 };
	if (boot) {
		bool same = !memcmp(boot, r->boot, sizeof r->boot);
		uint64_t expect = same ? r->guest_n + 1 : 1;
		if (guest_n < expect)
			return false;
		memcpy(rec.boot, boot, sizeof rec.boot);
		if (guest_n > expect) {
			rec.count = guest_n - expect;
			rec.n = r->next_n + rec.count - 1;
			rec.flags = RING_GAP;
			rec.guest_n = guest_n - 1;
			append(r, &rec, "");
		}
		rec.guest_n = guest_n;
	} else {
		rec.guest_n = r->guest_n;
		memcpy(rec.boot, r->boot, sizeof rec.boot);
	}
	rec.count = 1;
	rec.n = r->next_n;
	rec.flags = (uint8_t)flags;
	rec.len = (uint32_t)MIN(len, GUEST_LINE_MAX);
	append(r, &rec, text);
	return true;
}

bool ring_next(const struct ring *r, uint64_t after, uint64_t *at, struct ring_line *ret)
{
	uint64_t tail = atomic_load(&r->head->tail), end = atomic_load(&r->head->head);
	*at = MAX(*at, tail);
	while (*at < end) {
		struct record rec = record_at(r, *at);
		if (rec.n > after) {
			*ret = (struct ring_line){ .n = rec.n,
				.count = rec.count,
				.at_us = rec.at_us,
				.guest_n = rec.guest_n,
				.stream = rec.stream,
				.flags = rec.flags,
				.len = rec.len };
			memcpy(ret->boot, rec.boot, sizeof ret->boot);
			copy_out(r, *at + sizeof rec, ret->text, rec.len);
			*at += whole(rec.len);
			return true;
		}
		*at += whole(rec.len);
	}
	return false;
}

void ring_ack(struct ring *r, uint64_t n)
{
	uint64_t newest = r->next_n - 1;
	n = MIN(n, newest);
	if (n > ring_acked(r))
		atomic_store(&r->head->acked, n);
}
