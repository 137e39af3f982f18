/* How decisions are carried out, on a store made by the test: a map with revisions, which can
 * refuse or answer too late. Its views show everything at once. */
#include "../../../src/control/work.c"
#include "../unit.h"

struct kept {
	char key[TXN_KEY_MAX];
	json_t *value;
	int64_t rev;
};

static struct kept kept[256];
static size_t nkept;
static int64_t revision;
static struct control c;
static enum err_code refusal; /* of the next transaction with more than one write */
static bool lost;             /* the next transaction is done, but its answer does not come */

static struct kept *find(const char *key)
{
	for (size_t i = 0; i < nkept; i++)
		if (streq(kept[i].key, key))
			return &kept[i];
	return NULL;
}

static void keep(const char *key, json_t *value)
{
	struct kept *k = find(key);
	if (!k && value) {
		k = &kept[nkept++];
		str_copy(k->key, sizeof(k->key), key);
		k->value = NULL;
	}
	if (!k)
		return;
	json_decref(k->value);
	k->value = json_incref(value);
	k->rev = ++revision;
	if (!value)
		*k = kept[--nkept];
}

int store_txn(struct store *s, const struct store_compare *cmp, size_t ncmp,
    const struct store_op *ops, size_t nops, int64_t *ret_rev, struct err *e)
{
	assert_in_range(ncmp, 0, 64);
	assert_in_range(nops, 0, 64);
	if (refusal && nops > 1) {
		enum err_code code = refusal;
		refusal = ERR_NONE;
		return err_set(e, code, "refused by the test");
	}
	for (size_t i = 0; i < ncmp; i++) {
		const struct kept *k = find(cmp[i].key);
		if ((k ? k->rev : 0) != cmp[i].rev) {
			(void)err_set(e, ERR_CONFLICT, "%s has changed", cmp[i].key);
			return -EAGAIN;
		}
	}
	for (size_t i = 0; i < nops; i++)
		keep(ops[i].key, ops[i].kind == STORE_PUT ? ops[i].value : NULL);
	if (lost) {
		lost = false;
		return err_set(e, ERR_TIMEOUT, "no answer");
	}
	if (ret_rev)
		*ret_rev = revision;
	return 0;
}

json_t *store_view_get(const struct store_view *v, const char *key, int64_t *ret_rev)
{
	const struct kept *k = find(key);
	if (k && ret_rev)
		*ret_rev = k->rev;
	return k ? k->value : NULL;
}

int store_view_each(const struct store_view *v,
    int (*fn)(void *arg, const char *key, json_t *value, int64_t rev), void *arg)
{
	static struct kept now[countof(kept)];
	const char *prefix = (const void *)v;
	size_t n = nkept;
	memcpy(now, kept, sizeof(now));
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++)
		if (str_starts(now[i].key, prefix))
			r = fn(arg, now[i].key, now[i].value, now[i].rev);
	return r;
}

bool view_ready(struct control *control)
{
	return true;
}

void view_wrote(struct control *control, const struct txn *t, int64_t rev)
{
	for (size_t i = 0; i < t->n; i++) {
		struct err e;
		if (!t->op[i].only_compare)
			assert_ok(world_set(&c.world, t->op[i].key, t->op[i].value, rev, &e), e);
	}
}

static int setup(void **state)
{
	struct err e;
	while (nkept)
		json_decref(kept[--nkept].value);
	refusal = ERR_NONE;
	lost = false;
	c = (struct control){ .leader = true,
		.own = json_object(),
		.requests = (void *)(uintptr_t) "requests/",
		.outcomes = (void *)(uintptr_t) "outcomes/" };
	assert_true(sd_event_new(&c.loop) >= 0);
	assert_ok(world_init(&c.world, &e), e);
	cleanup_json json_t *leader = json_pack("{s:i}", "v", 1);
	keep("leader", leader);
	c.leader_rev = revision;
	return 0;
}

static int teardown(void **state)
{
	world_done(&c.world);
	json_decref(c.own);
	sd_event_unref(c.loop);
	return 0;
}

static void ask(unsigned n, const char *kind, const char *name)
{
	char key[64];
	cleanup_json json_t *q = json_pack(
	    "{s:i,s:s,s:{s:s,s:s}}", "v", 1, "kind", kind, "body", "name", name, "org", "clinic");
	snprintf(key, sizeof(key), "requests/R%025u", n);
	keep(key, q);
}

static int outcome(unsigned n)
{
	char key[64];
	snprintf(key, sizeof(key), "outcomes/R%025u", n);
	const struct kept *k = find(key);
	return k ? (int)json_integer_value(json_object_get(k->value, "status")) : 0;
}

static size_t count(const char *prefix)
{
	size_t n = 0;
	for (size_t i = 0; i < nkept; i++)
		n += str_starts(kept[i].key, prefix);
	return n;
}

/* The API died before it could remove its request; ten minutes later it is still the same request.
 */
static void a_request_is_never_decided_twice(void **state)
{
	ask(1, "app.create", "shop");
	on_work(NULL, 0, &c);
	assert_int_equal(outcome(1), 201);
	struct kept *k = find("outcomes/R0000000000000000000000001");
	assert_non_null(k);
	if (k)
		json_object_set_new(k->value, "at", json_string("2001-01-01T00:00:00Z"));
	do_outcomes(&c);
	assert_int_equal(outcome(1), 201);
	on_work(NULL, 0, &c);
	assert_int_equal(count("apps/"), 1);
	keep("requests/R0000000000000000000000001", NULL);
	do_outcomes(&c);
	assert_int_equal(outcome(1), 0);
}

static void old_outcomes_go_however_many(void **state)
{
	cleanup_json json_t *old = json_pack("{s:s}", "at", "2001-01-01T00:00:00Z");
	for (unsigned i = 0; i < 200; i++) {
		char key[64];
		snprintf(key, sizeof(key), "outcomes/R%025u", i);
		keep(key, old);
	}
	do_outcomes(&c);
	assert_int_equal(count("outcomes/"), 0);
}

/* Written, but the answer was lost: nothing more is decided on what is known to be old perhaps. */
static void after_a_lost_answer_nothing_more_is_decided_at_once(void **state)
{
	ask(1, "app.create", "shop");
	ask(2, "app.create", "shop");
	lost = true;
	on_work(NULL, 0, &c);
	assert_int_equal(outcome(1), 201);
	assert_int_equal(outcome(2), 0);
}

/* What can never be written has an outcome too, and keeps nobody waiting. */
static void what_does_not_fit_the_store_is_refused(void **state)
{
	for (unsigned i = 1; i <= 40; i++)
		ask(i, "app.create", "shop");
	refusal = ERR_TOO_LARGE;
	on_work(NULL, 0, &c);
	assert_int_equal(outcome(1), 413);
	on_work(NULL, 0, &c);
	for (unsigned i = 2; i <= 40; i++)
		assert_int_equal(outcome(i), i == 2 ? 201 : 422);
}

/* Another leads since; we have not heard of it yet. */
static void who_leads_no_longer_writes_nothing(void **state)
{
	cleanup_json json_t *leader = json_pack("{s:i,s:s}", "v", 1, "host", "other");
	keep("leader", leader);
	ask(1, "app.create", "shop");
	on_work(NULL, 0, &c);
	assert_int_equal(outcome(1), 0);
	assert_int_equal(count("apps/"), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(a_request_is_never_decided_twice),
		T(old_outcomes_go_however_many),
		T(after_a_lost_answer_nothing_more_is_decided_at_once),
		T(what_does_not_fit_the_store_is_refused), T(who_leads_no_longer_writes_nothing) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
