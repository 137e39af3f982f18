#include "../unit.h"
#include "guest/lines.h"
#include <stdlib.h>
#include <string.h>

struct got {
	size_t lines, bytes, cuts;
	size_t len[64];
	char last[64];
};

static void take(void *arg, const char *line, size_t len, bool cut)
{
	struct got *g = arg;
	assert_true(len <= GUEST_LINE_MAX);
	g->len[g->lines++ % 64] = len;
	g->bytes += len;
	g->cuts += cut;
	snprintf(g->last, sizeof g->last, "%.*s", (int)(len < 60 ? len : 60), line);
}

static struct lines l;

static void feed_all(const char *p, size_t n, size_t piece, struct got *g)
{
	*g = (struct got){ 0 };
	l.len = 0;
	for (size_t at = 0; at < n; at += piece)
		lines_feed(&l, p + at, n - at < piece ? n - at : piece, take, g);
}

static void splits_at_newlines_however_the_bytes_come(void **state)
{
	const char text[] = "one\n\ntwo\nthree";
	for (size_t piece = 1; piece < sizeof text; piece++) {
		struct got g;
		feed_all(text, sizeof text - 1, piece, &g);
		assert_int_equal(g.lines, 3);
		assert_int_equal(g.len[0], 3);
		assert_int_equal(g.len[1], 0);
		assert_string_equal(g.last, "two");
		lines_flush(&l, take, &g);
		assert_int_equal(g.lines, 4);
		assert_string_equal(g.last, "three");
		lines_flush(&l, take, &g);
		assert_int_equal(g.lines, 4);
	}
}

static void a_line_of_the_maximum_is_whole(void **state)
{
	char *text = malloc(GUEST_LINE_MAX + 1);
	memset(text, 'x', GUEST_LINE_MAX);
	text[GUEST_LINE_MAX] = '\n';
	for (size_t piece = 1; piece <= GUEST_LINE_MAX + 1; piece = piece * 3 + 1) {
		struct got g;
		feed_all(text, GUEST_LINE_MAX + 1, piece, &g);
		assert_int_equal(g.lines, 1);
		assert_int_equal(g.len[0], GUEST_LINE_MAX);
		assert_int_equal(g.cuts, 0);
	}
	free(text);
}

static void a_longer_line_is_cut_and_marked(void **state)
{
	size_t n = 2 * GUEST_LINE_MAX + 5;
	char *text = malloc(n + 1);
	memset(text, 'x', n);
	text[n] = '\n';
	for (size_t piece = 1; piece <= n + 1; piece = piece * 3 + 1) {
		struct got g;
		feed_all(text, n + 1, piece, &g);
		assert_int_equal(g.lines, 3);
		assert_int_equal(g.cuts, 2);
		assert_int_equal(g.len[2], 5);
		assert_int_equal(g.bytes, n);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits_at_newlines_however_the_bytes_come),
		cmocka_unit_test(a_line_of_the_maximum_is_whole),
		cmocka_unit_test(a_longer_line_is_cut_and_marked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
