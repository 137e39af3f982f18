#include "../unit.h"
#include "base/str.h"
#include "store/roles.h"
#include <string.h>

static void keys_are_found_by_their_most_exact_row(void **s)
{
	static const struct {
		const char *key, *pattern;
	} cases[] = {
		{ "requests/01J", "requests/<id>" },
		{ "observed/h1/3d8d5c00a1b2c3", "observed/<host>/<machine>" },
		{ "observed/h1/checks/3d8d5c00a1b2c3", "observed/<host>/checks/<machine>" },
		{ "apps/abc/app", "apps/<app-id>/app" },
		{ "apps/abc/releases/00000001", "apps/<app-id>/releases/<n>" },
		{ "leader", "leader" },
	};
	for (size_t i = 0; i < countof(cases); i++) {
		const struct store_key *k = store_key_find(cases[i].key);
		assert_non_null(k);
		assert_string_equal(k->pattern, cases[i].pattern);
	}
	static const char *const none[] = { "", "/", "requests", "requests/", "requests//a",
		"/requests/a", "requests/a/b", "requests/a ", "requests/..", "requests/a\n",
		"requests/\xc3\xa9", "leader/x", "apps/abc/other", "desired/h1",
		"observed/h1/checks/a/b" };
	for (size_t i = 0; i < countof(none); i++)
		if (store_key_find(none[i]))
			fail_msg("\"%s\" was found", none[i]);
	char longest[400];
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "requests/", 9);
	longest[sizeof(longest) - 1] = 0;
	assert_null(store_key_find(longest));
	longest[STORE_KEY_MAX] = 0;
	assert_non_null(store_key_find(longest));
}

static void writers_and_sizes_are_checked(void **s)
{
	struct err e;
	assert_ok(store_key_check("requests/1", DAEMON_API, 100, &e), e);
	assert_int_equal(store_key_check("requests/1", DAEMON_CONTROL, 100, &e), -EPERM);
	assert_int_equal(
	    store_key_check("requests/1", DAEMON_API, STORE_VALUE_MAX + 1, &e), -EMSGSIZE);
	assert_int_equal(store_key_check("nowhere/1", DAEMON_API, 1, &e), -EINVAL);
	assert_ok(store_key_check("requests/1", DAEMON_MAX, 100, &e), e); /* root */
}

static bool covers(const struct store_range *r, const char *key)
{
	return r->end[0] ? strcmp(key, r->begin) >= 0 && strcmp(key, r->end) < 0
			 : streq(key, r->begin);
}

/* A key of the row, on this host. */
static void example(const char *pattern, const char *host, char *dst, size_t size)
{
	size_t n = 0;
	for (const char *p = pattern; *p;) {
		size_t len = strcspn(p, "/");
		if (str_starts(p, "<host>"))
			n += (size_t)snprintf(dst + n, size - n, "%s", host);
		else if (*p == '<')
			n += (size_t)snprintf(dst + n, size - n, "0a1b");
		else
			n += (size_t)snprintf(dst + n, size - n, "%.*s", (int)len, p);
		p += len;
		if (*p == '/')
			n += (size_t)snprintf(dst + n, size - n, "%s", (p++, "/"));
	}
}

/* The ranges given to etcd are exactly what the table says, for each daemon, row and host. */
static void roles_are_the_table(void **s)
{
	static struct store_range ranges[STORE_RANGES_MAX];
	struct err e;
	for (enum daemon d = 0; d < DAEMON_MAX; d++) {
		size_t n;
		assert_ok(store_role(d, "h1", ranges, &n, &e), e);
		assert_true((n > 0) == store_has_user(d));
		for (size_t i = 0; i < store_keys_count; i++) {
			for (int other = 0; other < 2; other++) {
				const struct store_key *k = &store_keys[i];
				bool hosted = strstr(k->pattern, "<host>") != NULL,
				     foreign = other && hosted;
				char key[STORE_KEY_MAX];
				example(k->pattern, other ? "h2" : "h1", key, sizeof(key));
				unsigned may = 0, bit = 1u << d;
				for (size_t r = 0; r < n; r++)
					if (covers(&ranges[r], key))
						may |= ranges[r].may;
				bool write = (k->writers & bit) && (!foreign || (k->readers & bit));
				bool reader = (k->readers & bit) ||
					      ((k->readers_here | k->writers) & bit && !foreign);
				if (!!(may & STORE_WRITE) != write)
					fail_msg("%s %s write %s", daemon_name(d),
					    write ? "may not" : "may", key);
				/* who reads all of observed/ reads the checks with it */
				bool below = strstr(key, "/checks/") &&
					     (store_key_find("observed/h1/0a")->readers & bit);
				if (!!(may & STORE_READ) != reader && !below)
					fail_msg("%s %s read %s", daemon_name(d),
					    reader ? "may not" : "may", key);
			}
		}
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < i; j++)
				assert_false(streq(ranges[i].begin, ranges[j].begin) &&
					     streq(ranges[i].end, ranges[j].end));
	}
}

static void prefixes_end_after_themselves(void **s)
{
	char end[16];
	assert_true(store_prefix_end("apps/", end, sizeof(end)));
	assert_string_equal(end, "apps0");
	assert_false(store_prefix_end("", end, sizeof(end)));
	assert_false(store_prefix_end("a\xff", end, sizeof(end)));
	assert_false(store_prefix_end("a long one that does not fit", end, sizeof(end)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_found_by_their_most_exact_row),
		cmocka_unit_test(writers_and_sizes_are_checked),
		cmocka_unit_test(roles_are_the_table),
		cmocka_unit_test(prefixes_end_after_themselves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
