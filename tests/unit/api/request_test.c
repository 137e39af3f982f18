/* What the API removes behind itself: requests that are decided, leases that have ended. The store
 * and its views are the test's. */
#include "../../../src/api/lease.c"
#include "../../../src/api/request.c"
#include "../unit.h"

static json_t *store; /* key -> record; every record is at revision 5 */
static const char *taken_anew;

json_t *state_get(const struct state *s, enum state_view v, const char *fmt, ...)
{
	char id[64], key[96];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(id, sizeof(id), fmt, ap);
	va_end(ap);
	snprintf(key, sizeof(key), "%s%s", v == VIEW_OUTCOMES ? "outcomes/" : "?", id);
	return json_object_get(store, key);
}

bool state_connected(const struct state *s)
{
	return true;
}

static int each(const char *prefix, size_t cut,
    int (*with_rev)(void *, const char *, json_t *, int64_t),
    int (*plain)(void *, const char *, json_t *), void *arg)
{
	const char *key;
	json_t *v;
	int r = 0;
	json_object_foreach (store, key, v) {
		if (r || !str_starts(key, prefix))
			continue;
		r = plain ? plain(arg, key + cut, v) : with_rev(arg, key, v, 5);
	}
	return r;
}

int state_each(const struct state *s, enum state_view v, const char *prefix,
    int (*fn)(void *arg, const char *rest, json_t *value), void *arg)
{
	return each("requests/", strlen("requests/"), NULL, fn, arg);
}

int store_view_each(const struct store_view *v,
    int (*fn)(void *arg, const char *key, json_t *value, int64_t rev), void *arg)
{
	return each("locks/", 0, fn, NULL, arg);
}

int store_delete(struct store *s, const char *key, struct err *e)
{
	json_object_del(store, key);
	return 0;
}

int store_txn(struct store *s, const struct store_compare *cmp, size_t ncmp,
    const struct store_op *ops, size_t nops, int64_t *ret_rev, struct err *e)
{
	assert_int_equal(cmp->rev, 5);
	if (taken_anew && streq(taken_anew, cmp->key))
		return err_set(e, ERR_CONFLICT, "changed");
	json_object_del(store, ops->key);
	return 0;
}

const char *state_text(const json_t *record, const char *key)
{
	const char *text = json_string_value(json_object_get(record, key));
	return text ? text : "";
}

void call_fail(struct call *c, const struct err *e)
{
}

void call_failf(struct call *c, enum err_code code, const char *fmt, ...)
{
}

void call_wait(
    struct call *c, uint64_t ms, bool (*check)(struct call *c), void (*late)(struct call *c))
{
}

static json_t *lock(int64_t until)
{
	return lease_make(NULL, "someone", "", "", until);
}

static void what_is_over_is_removed(void **state)
{
	struct api api = { 0 };
	int64_t now = (int64_t)(clock_wall_ms() / 1000);
	store = json_pack("{s:{},s:{},s:{},s:o,s:o,s:o}", "requests/00000000000000000000000001",
	    "requests/00000000000000000000000002", "outcomes/00000000000000000000000001",
	    "locks/aa", lock(now - 10), "locks/bb", lock(now + 1000), "locks/cc", lock(now - 10));
	taken_anew = "locks/cc";
	requests_tidy(&api);
	assert_null(json_object_get(store, "requests/00000000000000000000000001"));
	assert_non_null(json_object_get(store, "requests/00000000000000000000000002"));
	assert_null(json_object_get(store, "locks/aa"));
	assert_non_null(json_object_get(store, "locks/bb"));
	assert_non_null(json_object_get(store, "locks/cc"));
	json_decref(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_over_is_removed) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
