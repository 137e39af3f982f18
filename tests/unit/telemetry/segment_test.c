#include "base/str.h"
#include "folder.h"
#include "telemetry/segment.h"
#include <sodium.h>
#include <sys/stat.h>

static const uint8_t key[SEGMENT_KEY] = { 7 };
static const char machine[] = "0123456789abcd";
static struct err e;

static void add(struct segment *s, uint64_t n, const char *text)
{
	struct block_head b = { .first_n = n, .last_n = n, .at_us = 1, .lines = 1 };
	str_copy(b.machine, sizeof(b.machine), machine);
	assert_ok(segment_append(s, key, &b, (struct bytes){ text, strlen(text) }, &e), e);
}

static void expect(int dir, const struct segment *s, size_t block, const char *want)
{
	cleanup_buf struct buf b;
	buf_init(&b, BLOCK_MAX);
	assert_ok(segment_read(dir, s, key, block, &b, &e), e);
	assert_string_equal(b.data, want);
}

static size_t content(int dir, char **ret)
{
	char name[24];
	size_t n;
	segment_name(name, 1);
	assert_ok(file_read(dir, name, 1 << 20, ret, &n, &e), e);
	return n;
}

static void put(int dir, const char *bytes, size_t n)
{
	char name[24];
	segment_name(name, 1);
	assert_ok(file_write(dir, name, bytes, n, 0600, &e), e);
}

static void what_was_appended_is_read_again(void **st)
{
	struct folder *f = *st;
	struct segment s;
	assert_ok(segment_create(f->fd, 1, 100, 5, &s, &e), e);
	add(&s, 1, "one\n");
	add(&s, 2, "two\n");
	expect(f->fd, &s, 1, "two\n");
	segment_done(&s);
	uint64_t cut = 1;
	assert_ok(segment_open(f->fd, 1, key, true, &s, &cut, &e), e);
	assert_int_equal(cut, 0);
	assert_int_equal(s.nblocks, 2);
	assert_int_equal(s.lines, 2);
	assert_int_equal(s.head.first_line, 100);
	assert_int_equal(s.head.epoch, 5);
	assert_string_equal(s.blocks[1].head.machine, machine);
	add(&s, 3, "three\n");
	expect(f->fd, &s, 0, "one\n");
	expect(f->fd, &s, 2, "three\n");
	segment_done(&s);
	cleanup_free char *raw = NULL;
	size_t n = content(f->fd, &raw);
	assert_null(memmem(raw, n, "three", 5)); /* sealed */
}

/* A crash may leave any beginning of what was written. Whatever it is: whole blocks stay, the rest
 * goes, and it is written on. */
static void a_file_cut_at_any_byte_is_opened_and_goes_on(void **st)
{
	struct folder *f = *st;
	struct segment s;
	assert_ok(segment_create(f->fd, 1, 1, 5, &s, &e), e);
	uint32_t ends[4] = { s.size };
	static const char *const texts[] = { "one\n", "the second\n", "3\n" };
	for (size_t i = 0; i < 3; i++) {
		add(&s, i + 1, texts[i]);
		ends[i + 1] = s.size;
	}
	segment_done(&s);
	cleanup_free char *whole = NULL;
	size_t size = content(f->fd, &whole);
	assert_int_equal(size, ends[3]);
	for (size_t len = 0; len <= size; len++) {
		put(f->fd, whole, len);
		uint64_t cut = 0;
		int r = segment_open(f->fd, 1, key, true, &s, &cut, &e);
		if (len < SEGMENT_HEAD) {
			assert_int_equal(r, -ENODATA);
			continue;
		}
		assert_ok(r, e);
		size_t blocks = 0;
		while (blocks < 3 && ends[blocks + 1] <= len)
			blocks++;
		assert_int_equal(s.nblocks, blocks);
		assert_int_equal(cut, len - ends[blocks]);
		for (size_t i = 0; i < blocks; i++)
			expect(f->fd, &s, i, texts[i]);
		add(&s, 9, "after\n");
		expect(f->fd, &s, blocks, "after\n");
		segment_done(&s);
		assert_ok(segment_open(f->fd, 1, key, true, &s, &cut, &e), e);
		assert_int_equal(cut, 0);
		expect(f->fd, &s, blocks, "after\n");
		segment_done(&s);
	}
}

/* After a power cut the tail may hold anything: zeros, or old bytes. */
static void any_changed_byte_ends_the_file_there(void **st)
{
	struct folder *f = *st;
	struct segment s;
	assert_ok(segment_create(f->fd, 1, 1, 5, &s, &e), e);
	add(&s, 1, "one\n");
	uint32_t end = s.size;
	add(&s, 2, "two\n");
	segment_done(&s);
	cleanup_free char *whole = NULL;
	size_t size = content(f->fd, &whole);
	for (size_t i = 0; i < size; i++) {
		whole[i] ^= 0x10;
		put(f->fd, whole, size);
		whole[i] ^= 0x10;
		uint64_t cut = 0;
		int r = segment_open(f->fd, 1, key, true, &s, &cut, &e);
		if (r == 0) {
			assert_int_equal(s.nblocks, i < end ? 0 : 1);
			assert_true(cut > 0);
			segment_done(&s);
		} else {
			assert_true(i < SEGMENT_HEAD);
		}
	}
}

static void blocks_cannot_be_moved_or_opened_by_another_key(void **st)
{
	struct folder *f = *st;
	struct segment s;
	assert_ok(segment_create(f->fd, 1, 1, 5, &s, &e), e);
	add(&s, 1, "aaa\n");
	add(&s, 2, "bbb\n");
	size_t one = (s.size - SEGMENT_HEAD) / 2;
	segment_done(&s);
	cleanup_free char *whole = NULL;
	size_t size = content(f->fd, &whole);
	cleanup_free char *swapped = malloc(size);
	memcpy(swapped, whole, SEGMENT_HEAD);
	memcpy(swapped + SEGMENT_HEAD, whole + SEGMENT_HEAD + one, one);
	memcpy(swapped + SEGMENT_HEAD + one, whole + SEGMENT_HEAD, one);
	put(f->fd, swapped, size);
	assert_ok(segment_open(f->fd, 1, key, false, &s, NULL, &e),
	    e); /* the index alone does not know */
	cleanup_buf struct buf b;
	buf_init(&b, BLOCK_MAX);
	assert_true(segment_read(f->fd, &s, key, 0, &b, &e) < 0);
	assert_int_equal(b.len, 0);
	segment_done(&s);
	put(f->fd, whole, size);
	uint8_t other[SEGMENT_KEY] = { 8 };
	assert_ok(segment_open(f->fd, 1, key, false, &s, NULL, &e), e);
	assert_true(segment_read(f->fd, &s, other, 0, &b, &e) < 0);
	segment_done(&s);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		T(what_was_appended_is_read_again),
		T(a_file_cut_at_any_byte_is_opened_and_goes_on),
		T(any_changed_byte_ends_the_file_there),
		T(blocks_cannot_be_moved_or_opened_by_another_key),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
