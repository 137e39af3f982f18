#include "base/str.h"
#include "folder.h"
#include "telemetry/applog.h"
#include <signal.h>
#include <sodium.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const uint8_t key[SEGMENT_KEY] = { 7 };
static const char m1[] = "0123456789abcd", m2[] = "ffffffffffffff";
static const struct applog_limits limits = {
	.app_bytes = 4096, .segment_bytes = 1024, .keep_us = 1000000
};
static struct err e;

static struct applog *open_log(const struct folder *f)
{
	struct applog *a;
	uint64_t cut;
	assert_ok(applog_open(f->fd, "app1", key, &limits, &a, &cut, &e), e);
	assert_int_equal(cut, 0);
	return a;
}

static void add(struct applog *a, const char *machine, uint64_t n, uint32_t lines)
{
	char text[400] = "";
	for (uint32_t i = 0; i < lines; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "{%s %llu}\n", machine,
		    (unsigned long long)n + i);
	assert_ok(applog_add(a, machine, &(struct taken){ n, n + lines - 1, 1, lines },
		      (struct bytes){ text, strlen(text) }, &e),
	    e);
}

/* All lines of a machine (or of all) from `line` on, as one text. */
static void read_all(const struct applog *a, uint64_t line, const char *machine, struct buf *ret)
{
	struct applog_block b;
	buf_reset(ret);
	while (applog_next(a, line, machine, &b)) {
		assert_ok(applog_read(a, &b, ret, &e), e);
		line = b.first_line + b.lines;
	}
}

static void numbers_and_marks_survive_a_restart(void **st)
{
	struct applog *a = open_log(*st);
	cleanup_buf struct buf text;
	buf_init(&text, 1 << 20);
	assert_int_equal(applog_last_n(a, m1), 0);
	add(a, m1, 1, 3);
	add(a, m2, 10, 1);
	add(a, m1, 4, 2);
	uint32_t epoch = a->epoch;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(applog_last_n(a, m1), 5);
		assert_int_equal(applog_last_n(a, m2), 10);
		assert_int_equal(a->next_line, 7);
		assert_int_equal(a->epoch, epoch);
		read_all(a, 1, m2, &text);
		assert_string_equal(text.data, "{ffffffffffffff 10}\n");
		read_all(a, 5, NULL, &text);
		assert_string_equal(text.data, "{0123456789abcd 4}\n{0123456789abcd 5}\n");
		assert_int_equal(applog_tail(a, NULL, 3), 4);
		assert_int_equal(applog_tail(a, m1, 3), 3);
		assert_int_equal(applog_tail(a, m2, 50), 1);
		applog_free(a);
		a = open_log(*st);
	}
	applog_free(a);
}

static void the_oldest_go_and_the_marks_stay(void **st)
{
	struct applog *a = open_log(*st);
	add(a, m2, 77, 1);
	for (uint64_t n = 1; n <= 200; n++)
		add(a, m1, n, 1);
	assert_true(a->bytes <= limits.app_bytes);
	uint64_t first = applog_first_line(a);
	assert_true(first > 100 && first < 201);
	assert_int_equal(a->next_line, 202);
	cleanup_buf struct buf text;
	buf_init(&text, 1 << 20);
	read_all(a, 1, m2, &text);
	assert_int_equal(text.len, 0); /* its line is gone */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(applog_last_n(a, m2), 77); /* but not that it was taken */
		assert_int_equal(applog_last_n(a, m1), 200);
		assert_int_equal(applog_first_line(a), first);
		assert_true(a->bytes <= limits.app_bytes);
		applog_free(a);
		a = open_log(*st);
	}
	/* a machine that is gone is not carried on for ever */
	applog_lives(a, m2, false);
	for (uint64_t n = 201; n <= 400; n++)
		add(a, m1, n, 1);
	assert_int_equal(applog_last_n(a, m2), 0);
	applog_free(a);
	a = open_log(*st);
	assert_int_equal(applog_last_n(a, m2), 0);
	assert_int_equal(applog_last_n(a, m1), 400);
	applog_free(a);
}

static void a_segment_that_was_taken_away_is_a_hole(void **st)
{
	const struct folder *f = *st;
	struct applog *a = open_log(f);
	uint64_t n = 0, next = 0;
	while (a->nsegments < 3)
		add(a, m1, ++n, 1);
	uint64_t from = a->segments[1].head.first_line, to = a->segments[2].head.first_line;
	assert_true(from < to);
	for (uint64_t line = 0; line <= a->next_line; line++)
		assert_false(applog_hole(a, line, &next));
	char path[64];
	snprintf(
	    path, sizeof(path), "app1/%016llx.seg", (unsigned long long)a->segments[1].head.number);
	applog_free(a);
	assert_int_equal(unlinkat(f->fd, path, 0), 0);
	a = open_log(f);
	assert_false(applog_hole(a, from - 1, &next));
	assert_true(applog_hole(a, from, &next));
	assert_int_equal(next, to);
	assert_true(applog_hole(a, to - 1, &next));
	assert_false(applog_hole(a, to, &next));
	applog_free(a);
}

static void old_segments_go_by_time(void **st)
{
	struct applog *a = open_log(*st);
	for (uint64_t n = 1; n <= 12; n++)
		add(a, m1, n, 1);
	size_t segments = a->nsegments;
	assert_true(segments >= 2);
	uint64_t now = a->segments[segments - 1].head.made_us;
	applog_trim(a, now + limits.keep_us / 2);
	assert_int_equal(a->nsegments, segments);
	applog_trim(a, now + 2 * limits.keep_us);
	assert_int_equal(a->nsegments, 1); /* the newest stays */
	applog_free(a);
}

/* Cut at every byte, the log is opened, has a prefix of the lines, and takes the missing ones
 * again: none lost, none twice. */
static void after_any_cut_the_missing_lines_are_taken_again(void **st)
{
	struct folder *f = *st;
	struct applog *a = open_log(f);
	for (uint64_t n = 1; n <= 4; n++)
		add(a, m1, n, 1);
	applog_free(a);
	static const char path[] = "app1/0000000000000001.seg";
	cleanup_free char *whole = NULL;
	size_t size;
	cleanup_buf struct buf text;
	buf_init(&text, 1 << 20);
	assert_ok(file_read(f->fd, path, 1 << 20, &whole, &size, &e), e);
	for (size_t len = 0; len <= size; len++) {
		uint64_t cut;
		assert_ok(file_write(f->fd, path, whole, len, 0600, &e), e);
		assert_ok(applog_open(f->fd, "app1", key, &limits, &a, &cut, &e), e);
		for (uint64_t n = applog_last_n(a, m1) + 1; n <= 5; n++)
			add(a, m1, n, 1);
		applog_free(a);
		a = open_log(f);
		read_all(a, 1, m1, &text);
		assert_string_equal(text.data, "{0123456789abcd 1}\n{0123456789abcd "
					       "2}\n{0123456789abcd 3}\n{0123456789abcd 4}\n"
					       "{0123456789abcd 5}\n");
		applog_free(a);
		unlinkat(f->fd, "app1/0000000000000002.seg", 0);
	}
}

/* A disk that is full in the middle of any write: what was not kept is told as an error, and is
 * kept the next time. */
static void a_full_disk_loses_nothing_that_was_taken(void **st)
{
	struct applog *a = open_log(*st);
	struct rlimit before;
	cleanup_buf struct buf text;
	buf_init(&text, 1 << 20);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	unsigned failed = 0;
	for (rlim_t k = 0; k < 300; k++) {
		rlim_t room = k * 7 % 1100;
		char line[32];
		uint64_t n = applog_last_n(a, m1) + 1;
		snprintf(line, sizeof(line), "{%llu}\n", (unsigned long long)n);
		assert_int_equal(
		    setrlimit(RLIMIT_FSIZE, &(struct rlimit){ room, before.rlim_max }), 0);
		int r = applog_add(
		    a, m1, &(struct taken){ n, n, 1, 1 }, (struct bytes){ line, strlen(line) }, &e);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
		failed += r < 0;
		assert_int_equal(applog_last_n(a, m1), r < 0 ? n - 1 : n);
		if (k % 3 == 0) { /* also after a restart */
			applog_free(a);
			a = open_log(*st);
			assert_int_equal(applog_last_n(a, m1), r < 0 ? n - 1 : n);
		}
	}
	assert_true(failed > 10);
	uint64_t last = applog_last_n(a, m1), lines = 0;
	assert_true(last > 10);
	read_all(a, 1, m1, &text);
	for (const char *p = text.data; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, a->next_line - applog_first_line(a));
	assert_int_equal(a->next_line, last + 1);
	applog_free(a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		T(numbers_and_marks_survive_a_restart),
		T(the_oldest_go_and_the_marks_stay),
		T(a_segment_that_was_taken_away_is_a_hole),
		T(old_segments_go_by_time),
		T(a_full_disk_loses_nothing_that_was_taken),
		T(after_any_cut_the_missing_lines_are_taken_again),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
