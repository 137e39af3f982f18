/* The ring, and the ring as another link would find it after a kill: the file is copied at many
 * points of its life, and each copy opened. */
#include "../unit.h"
#include "base/file.h"
#include "link/ring.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static int dir;
static char path[] = "/tmp/ward-ring-XXXXXX";
static const uint8_t boot_a[GUEST_BOOT_ID_LEN] = "boot-a", boot_b[GUEST_BOOT_ID_LEN] = "boot-b";

static int setup(void **state)
{
	dir = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY) : -1;
	return dir < 0;
}

static int teardown(void **state)
{
	struct err e;
	close(dir);
	return dir_remove(AT_FDCWD, path, &e);
}

static struct ring fresh(uint64_t first)
{
	struct ring r;
	struct err e = { 0 };
	bool made = false;
	(void)unlinkat(dir, "ring", 0);
	assert_ok(ring_open(&r, dir, "ring", first, &made, &e), e);
	assert_true(made);
	return r;
}

static bool add(struct ring *r, const uint8_t *boot, uint64_t n, const char *text)
{
	return ring_add(r, boot, n, 1000 + n, GUEST_STDOUT, 0, text, strlen(text));
}

static void lines_come_back_in_order(void **state)
{
	static struct ring_line line;
	struct ring r = fresh(1);
	uint64_t at = 0;
	assert_false(ring_next(&r, 0, &at, &line));
	assert_true(add(&r, boot_a, 1, "one"));
	assert_true(add(&r, boot_a, 2, ""));
	assert_true(ring_add(&r, NULL, 0, 5, GUEST_SYSTEM, 0, "link's own", 10));
	assert_true(ring_next(&r, 0, &at, &line));
	assert_int_equal(line.n, 1);
	assert_int_equal(line.at_us, 1001);
	assert_int_equal(line.len, 3);
	assert_memory_equal(line.text, "one", 3);
	assert_true(ring_next(&r, 0, &at, &line));
	assert_int_equal(line.len, 0);
	assert_true(ring_next(&r, 0, &at, &line));
	assert_int_equal(line.n, 3);
	assert_int_equal(line.stream, GUEST_SYSTEM);
	assert_false(ring_next(&r, 0, &at, &line));
	at = 0;
	assert_true(ring_next(&r, 2, &at, &line));
	assert_int_equal(line.n, 3);
	ring_close(&r);
}

static void a_line_is_taken_once(void **state)
{
	struct ring r = fresh(1);
	assert_true(add(&r, boot_a, 1, "1"));
	assert_true(add(&r, boot_a, 2, "2"));
	assert_false(add(&r, boot_a, 1, "1"));
	assert_false(add(&r, boot_a, 2, "2"));
	assert_true(ring_add(&r, NULL, 0, 5, GUEST_SYSTEM, 0, "between", 7));
	assert_false(add(&r, boot_a, 2, "2"));
	assert_true(add(&r, boot_a, 3, "3"));
	assert_true(add(&r, boot_b, 1, "1 of the next boot"));
	assert_int_equal(r.next_n, 6);
	ring_close(&r);
}

static void a_hole_is_a_gap(void **state)
{
	static struct ring_line line;
	struct ring r = fresh(100);
	uint64_t at = 0;
	assert_true(add(&r, boot_a, 4, "three were lost before this"));
	assert_true(ring_next(&r, 99, &at, &line));
	assert_int_equal(line.flags, RING_GAP);
	assert_int_equal(line.count, 3);
	assert_int_equal(line.n, 102);
	assert_true(ring_next(&r, 99, &at, &line));
	assert_int_equal(line.n, 103);
	ring_close(&r);
}

static void the_oldest_go_and_the_last_stays(void **state)
{
	static struct ring_line line;
	static char big[GUEST_LINE_MAX];
	memset(big, 'b', sizeof big);
	struct ring r = fresh(1);
	uint64_t n = 0;
	while (!ring_would_lose(&r, sizeof big))
		assert_true(ring_add(&r, boot_a, ++n, 1, GUEST_STDERR, RING_CUT, big, sizeof big));
	assert_in_range(n, 60, 64);
	ring_ack(&r, 5);
	assert_false(ring_would_lose(&r, sizeof big));
	for (uint64_t more = 0; more < 1000; more++)
		assert_true(ring_add(&r, boot_a, ++n, 1, GUEST_STDERR, 0, big, sizeof big));
	uint64_t at = 0, first = 0, count = 0;
	while (ring_next(&r, 0, &at, &line)) {
		if (!first)
			first = line.n;
		assert_int_equal(line.n, first + count);
		assert_int_equal(line.len, sizeof big);
		count++;
	}
	assert_int_equal(line.n, n);
	assert_in_range(count, 60, 64);
	assert_int_equal(ring_left(&r), n - ring_acked(&r));
	assert_true(ring_left(&r) > 0);
	ring_ack(&r, UINT64_MAX);
	assert_int_equal(ring_acked(&r), n);
	assert_int_equal(ring_left(&r), 0);
	ring_close(&r);
}

/* What a killed link leaves is what is in the file now: the mapping is shared, so a copy of the
 * file is exactly that. */
static void copy(void)
{
	static char all[2 * 1024 * 1024];
	cleanup_close int from = openat(dir, "ring", O_RDONLY),
			  to = openat(dir, "copy", O_RDWR | O_CREAT | O_TRUNC, 0600);
	ssize_t n = read(from, all, sizeof all);
	assert_true(n > RING_SIZE && write(to, all, (size_t)n) == n);
}

static void a_new_link_goes_on_exactly_there(void **state)
{
	struct ring r = fresh(1), c;
	struct err e = { 0 };
	char text[4000];
	uint64_t n = 0;
	srand(1);
	for (int round = 0; round < 300; round++) {
		for (int k = rand() % 40; k-- > 0;) {
			size_t len = (size_t)rand() % sizeof text;
			memset(text, 'a' + rand() % 26, len);
			if (rand() % 50 == 0)
				n += 3; /* lost by the guest */
			n++;
			assert_true(ring_add(&r, boot_a, n, n, GUEST_STDOUT, 0, text, len));
		}
		if (!n)
			continue;
		bool made = true;
		copy();
		assert_ok(ring_open(&c, dir, "copy", 1, &made, &e), e);
		assert_false(made);
		assert_int_equal(c.next_n, r.next_n);
		assert_int_equal(c.guest_n, n);
		assert_false(add(&c, boot_a, n, "again"));
		assert_true(add(&c, boot_a, n + 1, "next"));
		ring_close(&c);
	}
	ring_close(&r);
}

/* A kill between the steps of one append: bytes beyond the head are anything, the tail has moved.
 * Neither may be seen. */
static void a_half_written_line_is_not_there(void **state)
{
	static char big[GUEST_LINE_MAX];
	struct ring r = fresh(1), c;
	struct err e = { 0 };
	for (uint64_t n = 1; n <= 200; n++)
		assert_true(ring_add(&r, boot_a, n, 1, GUEST_STDOUT, 0, big, sizeof big));
	uint64_t *head = (uint64_t *)(void *)((char *)r.head + 24), *tail = head - 1;
	copy();
	cleanup_close int fd = openat(dir, "copy", O_RDWR);
	/* the tail moves over the oldest record, then garbage is written where it was */
	uint64_t moved = *tail + 56 + sizeof big;
	assert_int_equal(pwrite(fd, &moved, 8, 16), 8);
	for (size_t k = 0; k < 8000; k += 8) {
		uint64_t junk = 0xdeadbeefdeadbeef;
		assert_int_equal(pwrite(fd, &junk, 8, 4096 + (off_t)((*head + k) % RING_SIZE)), 8);
	}
	bool made = true;
	assert_ok(ring_open(&c, dir, "copy", 1, &made, &e), e);
	assert_false(made);
	assert_int_equal(c.next_n, 201);
	ring_close(&c);
	ring_close(&r);
}

static void a_damaged_file_is_made_anew(void **state)
{
	struct ring r = fresh(1), c;
	struct err e = { 0 };
	for (uint64_t n = 1; n <= 50; n++)
		assert_true(add(&r, boot_a, n, "line"));
	/* every byte of the used part of the head and of the first records, one at a time */
	for (off_t at = 0; at < 4096 + 640; at == 40 ? at = 4096 : at++) {
		copy();
		cleanup_close int fd = openat(dir, "copy", O_RDWR);
		uint8_t b;
		assert_int_equal(pread(fd, &b, 1, at), 1);
		b ^= 0x80;
		assert_int_equal(pwrite(fd, &b, 1, at), 1);
		bool made = false;
		assert_ok(ring_open(&c, dir, "copy", 1000, &made, &e), e);
		/* kept or made anew, but sound either way: it walks, and takes lines */
		static struct ring_line line;
		uint64_t place = 0, last = 0;
		while (ring_next(&c, 0, &place, &line)) {
			assert_true(line.n > last && line.len <= GUEST_LINE_MAX);
			last = line.n;
		}
		assert_true(ring_add(&c, NULL, 0, 1, GUEST_SYSTEM, 0, "x", 1));
		ring_close(&c);
	}
	ring_close(&r);
}

static void what_is_no_file_is_refused(void **state)
{
	struct ring r;
	struct err e = { 0 };
	bool made;
	assert_int_equal(symlinkat("/dev/zero", dir, "link"), 0);
	assert_true(ring_open(&r, dir, "link", 1, &made, &e) < 0);
	assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
	assert_true(ring_open(&r, dir, "fifo", 1, &made, &e) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_back_in_order),
		cmocka_unit_test(a_line_is_taken_once),
		cmocka_unit_test(a_hole_is_a_gap),
		cmocka_unit_test(the_oldest_go_and_the_last_stays),
		cmocka_unit_test(a_new_link_goes_on_exactly_there),
		cmocka_unit_test(a_half_written_line_is_not_there),
		cmocka_unit_test(a_damaged_file_is_made_anew),
		cmocka_unit_test(what_is_no_file_is_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
