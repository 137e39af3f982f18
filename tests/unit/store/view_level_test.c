/* Every loss, repetition and reordering that a watch may show, tried on the level that a view
 * keeps. */
#include "../unit.h"
#include "base/str.h"
#include "store/view_level.h"

enum { TOLD_MAX = 64 };
static struct level level;
static bool stop;
static char told[TOLD_MAX][64];
static size_t ntold;
static struct err e;

static void changed(void *arg, const char *key, json_t *value)
{
	assert_true(ntold < TOLD_MAX);
	snprintf(told[ntold++], sizeof(told[0]), "%s=%lld", key,
	    value ? (long long)json_integer_value(json_object_get(value, "n")) : -1);
}

static int setup(void **s)
{
	stop = false;
	ntold = 0;
	level = (struct level){ .changed = changed, .stop = &stop };
	return 0;
}

static int teardown(void **s)
{
	level_done(&level);
	return 0;
}

static json_t *kv(const char *key, long long n, int64_t rev)
{
	char text[32], number[24];
	snprintf(text, sizeof(text), "{\"n\":%lld}", n);
	snprintf(number, sizeof(number), "%lld", (long long)rev);
	char *k = base64_encode(key, strlen(key)), *v = base64_encode(text, strlen(text));
	json_t *j = n >= 0 ? json_pack("{ss ss ss}", "key", k, "value", v, "mod_revision", number)
			   : json_pack("{ss ss}", "key", k, "mod_revision", number);
	free(k);
	free(v);
	return j;
}

static json_t *header(const char *cluster, int64_t rev)
{
	char number[24];
	snprintf(number, sizeof(number), "%lld", (long long)rev);
	return json_pack("{ss ss}", "cluster_id", cluster, "revision", number);
}

static int list(const char *cluster, int64_t rev, json_t *kvs)
{
	struct level_listing l = { 0 };
	cleanup_json json_t *answer =
	    json_pack("{so so}", "header", header(cluster, rev), "kvs", kvs);
	assert_ok(level_page(&l, answer, &e), e);
	assert_null(l.next);
	int r = level_replace(&level, &l, &e);
	level_listing_done(&l);
	return r;
}

static int event(json_t *kv1, json_t *kv2)
{
	json_t *events = json_array();
	json_t *both[] = { kv1, kv2 };
	for (size_t i = 0; i < 2; i++)
		if (both[i])
			json_array_append_new(
			    events, json_pack("{ss so}", "type",
					json_object_get(both[i], "value") ? "PUT" : "DELETE", "kv",
					both[i]));
	cleanup_json json_t *result =
	    json_pack("{so so}", "header", header("1", 999), "events", events);
	return level_events(&level, result, &e);
}

static void expect(const char *const *want, size_t n)
{
	for (size_t i = 0; i < MIN(n, ntold); i++)
		assert_string_equal(told[i], want[i]);
	assert_int_equal(ntold, n);
	ntold = 0;
}
#define EXPECT(...)                                                                                \
	expect((const char *const[]){ __VA_ARGS__ },                                               \
	    sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void a_listing_tells_the_difference(void **s)
{
	assert_ok(
	    list("1", 10, json_pack("[ooo]", kv("a", 1, 3), kv("b", 2, 4), kv("d", 4, 9))), e);
	EXPECT("a=1", "b=2", "d=4");
	assert_ok(
	    list("1", 20, json_pack("[ooo]", kv("a", 1, 3), kv("c", 3, 15), kv("d", 5, 16))), e);
	EXPECT("b=-1", "c=3", "d=5");
	assert_ok(
	    list("1", 20, json_pack("[ooo]", kv("a", 1, 3), kv("c", 3, 15), kv("d", 5, 16))), e);
	expect(NULL, 0);
	assert_ok(list("1", 21, json_array()), e);
	EXPECT("a=-1", "c=-1", "d=-1");
}

static void pages_are_one_listing(void **s)
{
	struct level_listing l = { 0 };
	cleanup_json json_t *one = json_pack("{so so sb}", "header", header("1", 10), "kvs",
				json_pack("[oo]", kv("a", 1, 3), kv("b", 2, 4)), "more", 1),
			    *two = json_pack("{so so}", "header", header("1", 12), "kvs",
				json_pack("[o]", kv("c", 3, 5)));
	assert_ok(level_page(&l, one, &e), e);
	assert_string_equal(l.next, "b\x01");
	assert_int_equal(ntold, 0);
	assert_ok(level_page(&l, two, &e), e);
	assert_null(l.next);
	assert_ok(level_replace(&level, &l, &e), e);
	EXPECT("a=1", "b=2", "c=3");
	assert_int_equal(
	    level.revision, 10); /* the first page's: the later ones were read as of it */
}

static void a_store_that_went_back_changes_nothing(void **s)
{
	assert_ok(list("1", 10, json_pack("[o]", kv("a", 1, 3))), e);
	ntold = 0;
	assert_int_equal(list("1", 9, json_array()), -ESTALE);
	assert_int_equal(list("2", 50, json_array()), -ESTALE);
	expect(NULL, 0);
	assert_non_null(view_map_find(&level.map, "a"));
	assert_ok(list("1", 10, json_pack("[o]", kv("a", 1, 3))), e);
}

static void events_change_the_level(void **s)
{
	assert_ok(list("1", 10, json_pack("[o]", kv("a", 1, 3))), e);
	ntold = 0;
	assert_ok(event(kv("b", 2, 11), kv("a", -1, 11)),
	    e); /* one transaction: one revision, one message */
	EXPECT("b=2", "a=-1");
	assert_int_equal(level.revision, 11);
	assert_ok(event(kv("zz", -1, 12), NULL), e); /* deleted what was never held */
	expect(NULL, 0);
	assert_int_equal(level.revision, 12);
}

static void repeated_events_are_dropped(void **s)
{
	assert_ok(list("1", 10, json_pack("[o]", kv("a", 1, 3))), e);
	assert_ok(event(kv("a", 2, 11), NULL), e);
	ntold = 0;
	for (int i = 0; i < 3; i++)
		assert_ok(event(kv("a", 2, 11), kv("a", 1, 3)), e);
	assert_ok(event(kv("b", -1, 9), NULL), e);
	expect(NULL, 0);
	assert_int_equal(view_map_find(&level.map, "a")->rev, 11);
}

static void a_late_event_is_a_doubt_and_never_applied(void **s)
{
	assert_ok(list("1", 10, json_pack("[o]", kv("a", 1, 3))), e);
	assert_ok(event(kv("b", 2, 15), NULL), e);
	ntold = 0;
	assert_int_equal(event(kv("a", 7, 12), NULL), -ESTALE);  /* a change that came too late */
	assert_int_equal(event(kv("a", -1, 12), NULL), -ESTALE); /* a deletion that came too late */
	assert_int_equal(event(kv("c", 3, 12), NULL), -ESTALE); /* new, or deleted since: unknown */
	expect(NULL, 0);
	/* the listing that follows says what is */
	assert_ok(list("1", 16, json_pack("[o]", kv("b", 2, 15))), e);
	EXPECT("a=-1");
}

static void another_clusters_events_are_a_doubt(void **s)
{
	assert_ok(list("7", 10, json_array()), e);
	assert_int_equal(event(kv("a", 1, 11), NULL), -ESTALE);
	expect(NULL, 0);
}

static void a_value_that_is_no_json_is_no_value(void **s)
{
	json_t *bad = kv("a", 1, 11);
	json_object_set_new(bad, "value", json_string("e25vdCBqc29u")); /* "{not json" */
	assert_ok(list("1", 10, json_pack("[o]", kv("a", 1, 3))), e);
	ntold = 0;
	assert_ok(event(bad, NULL), e);
	EXPECT("a=-1");
}

static void closing_inside_a_callback_ends_the_telling(void **s)
{
	stop = true;
	assert_ok(list("1", 10, json_pack("[oo]", kv("a", 1, 3), kv("b", 1, 4))), e);
	assert_ok(event(kv("a", 2, 11), NULL), e);
	expect(NULL, 0);
}

/* A random history, seen through a stream that loses, repeats and delays, with a listing after each
 * doubt, ends at the same level. */
static void it_converges_through_any_stream(void **s)
{
	for (unsigned seed = 1; seed <= 200; seed++) {
		setup(s);
		srand(seed);
		long long now[4] = { -1, -1, -1, -1 };
		int64_t revs[4] = { 0 }, rev = 1;
		json_t *log[64];
		size_t nlog = 0;
		assert_ok(list("1", 1, json_array()), e);
		for (int step = 0; step < 60; step++) {
			int k = rand() % 4;
			char key[2] = { (char)('a' + k), 0 };
			now[k] = rand() % 3 ? step : -1;
			revs[k] = ++rev;
			log[nlog++] = kv(key, now[k], rev);
			ntold = 0;
			int what = rand() % 8;
			int r = what == 0   ? 0 /* lost */
				: what == 1 ? event(json_incref(log[(size_t)rand() % nlog]),
						  NULL) /* any again, or late */
					    : event(json_incref(log[nlog - 1]), NULL);
			if (r < 0 || step == 59) {
				json_t *all = json_array();
				for (int i = 0; i < 4; i++)
					if (now[i] >= 0)
						json_array_append_new(
						    all, kv((char[]){ (char)('a' + i), 0 }, now[i],
							     revs[i]));
				ntold = 0;
				assert_ok(list("1", rev, all), e);
			}
		}
		for (int i = 0; i < 4; i++) {
			struct view_entry *held =
			    view_map_find(&level.map, (char[]){ (char)('a' + i), 0 });
			if ((now[i] >= 0) != (held != NULL) ||
			    (held &&
				json_integer_value(json_object_get(held->value, "n")) != now[i]))
				fail_msg("seed %u: key %d", seed, i);
		}
		for (size_t i = 0; i < nlog; i++)
			json_decref(log[i]);
		teardown(s);
	}
	setup(s);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_listing_tells_the_difference),
		T(pages_are_one_listing),
		T(a_store_that_went_back_changes_nothing),
		T(events_change_the_level),
		T(repeated_events_are_dropped),
		T(a_late_event_is_a_doubt_and_never_applied),
		T(another_clusters_events_are_a_doubt),
		T(a_value_that_is_no_json_is_no_value),
		T(closing_inside_a_callback_ends_the_telling),
		T(it_converges_through_any_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
