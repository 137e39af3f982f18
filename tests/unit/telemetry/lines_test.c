#include "../unit.h"
#include "base/json.h"
#include "base/str.h"
#include "telemetry/lines.h"

static const struct owner who = { "0123456789abcd", "web", "app1", "local" };
static struct err e;
static struct taken t;

static int take(const char *text, uint64_t after, size_t max, struct buf *out)
{
	buf_reset(out);
	return lines_take(text, strlen(text), &who, after, max, out, &t, &e);
}

#define LINE(n, text)                                                                              \
	"{\"n\":" #n                                                                               \
	",\"at_us\":1767225600000000,\"stream\":\"stdout\",\"boot\":\"ab\",\"line\":\"" text       \
	"\"}\n"

static void lines_are_kept_with_whose_they_are(void **s)
{
	cleanup_buf struct buf out;
	buf_init(&out, 1 << 20);
	assert_ok(take(LINE(1, "a") LINE(2, "b\\n\\u00e9"), 0, 1 << 20, &out), e);
	assert_int_equal(t.lines, 2);
	assert_int_equal(t.first_n, 1);
	assert_int_equal(t.last_n, 2);
	assert_string_equal(out.data,
	    "{\"app\":\"web\",\"app_id\":\"app1\",\"at\":\"2026-01-01T00:00:00.000000Z\",\"boot\":"
	    "\"ab\",\"level\":\"info\",\"machine\":\"0123456789abcd\","
	    "\"message\":\"a\",\"n\":1,\"region\":\"local\",\"stream\":\"stdout\"}\n"
	    "{\"app\":\"web\",\"app_id\":\"app1\",\"at\":\"2026-01-01T00:00:00.000000Z\",\"boot\":"
	    "\"ab\",\"level\":\"info\",\"machine\":\"0123456789abcd\","
	    "\"message\":\"b\\n\xc3\xa9\",\"n\":2,\"region\":\"local\",\"stream\":\"stdout\"}\n");
}

static void repetitions_are_dropped(void **s)
{
	cleanup_buf struct buf out;
	buf_init(&out, 1 << 20);
	assert_ok(take(LINE(1, "a") LINE(2, "b") LINE(3, "c"), 2, 1 << 20, &out), e);
	assert_int_equal(t.lines, 1);
	assert_int_equal(t.first_n, 3);
	assert_ok(take(LINE(1, "a") LINE(2, "b"), 2, 1 << 20, &out), e);
	assert_int_equal(t.lines, 0);
	assert_int_equal(out.len, 0);
	assert_ok(take("", 2, 1 << 20, &out), e);
}

static void a_gap_is_a_line(void **s)
{
	cleanup_buf struct buf out;
	buf_init(&out, 1 << 20);
	assert_ok(take("{\"n\":9,\"gap\":7}\n" LINE(10, "x"), 0, 1 << 20, &out), e);
	assert_int_equal(t.lines, 2);
	assert_non_null(strstr(out.data, "\"gap\":7"));
	assert_non_null(strstr(out.data, "7 lines were lost"));
	/* what is known already is not missing */
	assert_ok(take("{\"n\":9,\"gap\":7}\n", 5, 1 << 20, &out), e);
	assert_non_null(strstr(out.data, "\"gap\":4"));
	assert_ok(take("{\"n\":9,\"gap\":7}\n", 9, 1 << 20, &out), e);
	assert_int_equal(t.lines, 0);
}

static void no_more_than_max_is_taken_at_once(void **s)
{
	cleanup_buf struct buf out;
	buf_init(&out, 1 << 20);
	assert_ok(take(LINE(1, "a") LINE(2, "b") LINE(3, "c"), 0, 400, &out), e);
	assert_int_equal(t.last_n, 2);
	assert_true(out.len <= 400);
}

static void what_is_not_a_line_ends_it_there(void **s)
{
	cleanup_buf struct buf out;
	buf_init(&out, 1 << 20);
	static const char *const bad[] = { "x\n", "{}\n", "[]\n", "{\"n\":0}\n",
		"{\"n\":-1,\"gap\":1}\n", "{\"n\":6}\n", LINE(1, "again"), LINE(5, "same"),
		"{\"n\":6,\"at_us\":1,\"stream\":\"other\",\"line\":\"\"}\n",
		"{\"n\":6,\"at_us\":-1,\"stream\":\"stdout\",\"line\":\"\"}\n",
		"{\"n\":6,\"at_us\":1,\"stream\":\"stdout\",\"line\":7}\n",
		"{\"n\":6,\"n\":7,\"gap\":1}\n", "{\"n\":6,\"gap\":0}\n" };
	for (size_t i = 0; i < countof(bad); i++) {
		char text[400];
		snprintf(text, sizeof(text), "%s%s", LINE(5, "good"), bad[i]);
		if (take(text, 0, 1 << 20, &out) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(t.lines, 1); /* the good one before it */
		assert_int_equal(t.last_n, 5);
	}
	/* half a line at the end waits for its other half */
	assert_ok(take(LINE(5, "good") "{\"n\":6,", 0, 1 << 20, &out), e);
	assert_int_equal(t.lines, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_kept_with_whose_they_are),
		cmocka_unit_test(repetitions_are_dropped),
		cmocka_unit_test(a_gap_is_a_line),
		cmocka_unit_test(no_more_than_max_is_taken_at_once),
		cmocka_unit_test(what_is_not_a_line_ends_it_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
