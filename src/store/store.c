#include "base/str.h"
#include "store/etcd.h"
#include "store/keys.h"

/* Opening, and keys and values. Leases are in lease.c, views in view.c. */

static enum daemon daemon_of(const char *user)
{
	for (enum daemon d = 0; d < DAEMON_MAX; d++)
		if (streq(daemon_name(d), user))
			return d;
	return DAEMON_MAX;
}

int store_open(const char *socket_path, const char *user, const char *password, int timeout_ms,
    struct store **ret, struct err *e)
{
	struct store *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, ERR_NO_MEMORY, "no memory for the store");
	s->socket_path = strdup(socket_path);
	s->user = strdup(user);
	s->password = strdup(password);
	s->who = daemon_of(user);
	s->timeout_ms = timeout_ms;
	if (!s->socket_path || !s->user || !s->password) {
		store_close(s);
		return err_set(e, ERR_NO_MEMORY, "no memory for the store");
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	http_client_free(s->client);
	if (s->password)
		explicit_bzero(s->password, strlen(s->password));
	explicit_bzero(s->token, sizeof(s->token));
	free(s->password);
	free(s->user);
	free(s->socket_path);
	free(s);
}

static int no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory to ask the store");
}

/* A key and its value out of an answer's "kvs". */
static int take(
    const json_t *kv, char **ret_key, json_t **ret_value, int64_t *ret_rev, struct err *e)
{
	size_t n;
	cleanup_free char *key = etcd_get_bytes(kv, "key", NULL),
			  *text = etcd_get_bytes(kv, "value", &n);
	if (!key)
		return err_set(
		    e, ERR_PROTOCOL, "the store answered with a key that is none of Ward's");
	int r =
	    text ? json_parse(text, n, ret_value, e) : err_set(e, ERR_PROTOCOL, "it is not text");
	if (r < 0)
		return err_prefix(e, r, "the store's value of %.*s", STORE_KEY_MAX, key);
	*ret_key = steal_ptr(&key);
	*ret_rev = etcd_get_number(kv, "mod_revision");
	return 0;
}

int store_get(struct store *s, const char *key, json_t **ret, int64_t *ret_rev, struct err *e)
{
	cleanup_json json_t *ask = json_pack("{so}", "key", etcd_bytes(key)), *answer = NULL;
	if (!ask)
		return no_memory(e);
	int r = etcd_call(s, "/v3/kv/range", ask, &answer, NULL, e);
	if (r < 0)
		return r;
	const json_t *kv = json_array_get(json_object_get(answer, "kvs"), 0);
	if (!kv)
		return err_set(e, ERR_NOT_FOUND, "there is no %s in the store", key);
	cleanup_free char *got = NULL;
	json_t *value = NULL;
	int64_t rev = 0;
	r = take(kv, &got, &value, &rev, e);
	if (r < 0)
		return r;
	*ret = value;
	if (ret_rev)
		*ret_rev = rev;
	return 0;
}

/* One page from `begin` on; *ret_last is its last key where more follow, else NULL. */
static int list_page(struct store *s, const char *begin, const char *prefix, int64_t *rev,
    int (*fn)(void *, const char *, json_t *, int64_t, struct err *), void *arg, char **ret_last,
    struct err *e)
{
	enum { PAGE = 200 };
	cleanup_json json_t *ask =
				json_pack("{si so}", "limit", PAGE, "revision", etcd_number(*rev)),
			    *answer = NULL;
	if (!ask)
		return no_memory(e);
	int r = etcd_put_range(ask, begin, prefix, e);
	if (r == 0)
		r = etcd_call(s, "/v3/kv/range", ask, &answer, NULL, e);
	if (r < 0)
		return r;
	if (!*rev)
		*rev = etcd_revision(answer); /* the later pages are read as of the first */
	size_t i;
	json_t *kv;
	cleanup_free char *last = NULL;
	json_array_foreach (json_object_get(answer, "kvs"), i, kv) {
		cleanup_free char *key = NULL;
		cleanup_json json_t *value = NULL;
		int64_t key_rev = 0;
		r = take(kv, &key, &value, &key_rev, e);
		if (r == 0)
			r = fn(arg, key, value, key_rev, e);
		if (r)
			return r;
		free(last);
		last = steal_ptr(&key);
	}
	*ret_last = json_is_true(json_object_get(answer, "more")) ? steal_ptr(&last) : NULL;
	return 0;
}

int store_list(struct store *s, const char *prefix,
    int (*fn)(void *arg, const char *key, json_t *value, int64_t rev, struct err *e), void *arg,
    int64_t *ret_rev, struct err *e)
{
	int64_t rev = 0;
	char *begin = strdup(prefix);
	int r = begin ? 0 : no_memory(e);
	while (r == 0 && begin) {
		char *last = NULL;
		r = list_page(s, begin, prefix, &rev, fn, arg, &last, e);
		free(begin);
		begin = NULL;
		/* the smallest key after the last one would end with a NUL; '\x01' is as good,
		 * since Ward's keys have neither */
		if (r == 0 && last && asprintf(&begin, "%s\x01", last) < 0) {
			begin = NULL;
			r = no_memory(e);
		}
		free(last);
	}
	if (r == 0 && ret_rev)
		*ret_rev = rev;
	return r;
}

static int add_compare(json_t *list, const struct store_compare *c, struct err *e)
{
	json_t *j = c->rev ? json_pack("{so ss ss so}", "key", etcd_bytes(c->key), "target", "MOD",
				 "result", "EQUAL", "mod_revision", etcd_number(c->rev))
			   : json_pack("{so ss ss ss}", "key", etcd_bytes(c->key), "target",
				 "VERSION", "result", "EQUAL", "version", "0");
	return !j || json_array_append_new(list, j) ? no_memory(e) : 0;
}

static int add_op(
    const struct store *s, json_t *list, const struct store_op *op, size_t *total, struct err *e)
{
	json_t *j = NULL;
	int r;
	if (op->kind == STORE_PUT) {
		cleanup_free char *text = json_format(op->value);
		if (!text)
			return no_memory(e);
		r = store_key_check(op->key, s->who, strlen(text), e);
		if (r < 0)
			return r;
		*total += strlen(text);
		j = json_pack("{s{so so so}}", "request_put", "key", etcd_bytes(op->key), "value",
		    etcd_bytes(text), "lease", etcd_number(op->lease));
	} else {
		r = store_key_check(op->key, s->who, 0, e);
		if (r < 0)
			return r;
		j = json_pack("{s{so}}", "request_delete_range", "key", etcd_bytes(op->key));
	}
	return !j || json_array_append_new(list, j) ? no_memory(e) : 0;
}

int store_txn(struct store *s, const struct store_compare *cmp, size_t ncmp,
    const struct store_op *ops, size_t nops, int64_t *ret_rev, struct err *e)
{
	enum { TXN_MAX = 64, TXN_BYTES_MAX = 900 * 1024 };
	if (ncmp > TXN_MAX || nops > TXN_MAX)
		return err_set(e, ERR_TOO_LARGE,
		    "a transaction has at most %d compares and %d operations", TXN_MAX, TXN_MAX);
	cleanup_json json_t *compare = json_array(), *success = json_array(), *answer = NULL;
	size_t total = 0;
	int r = compare && success ? 0 : no_memory(e);
	for (size_t i = 0; r == 0 && i < ncmp; i++)
		r = add_compare(compare, &cmp[i], e);
	for (size_t i = 0; r == 0 && i < nops; i++)
		r = add_op(s, success, &ops[i], &total, e);
	if (r == 0 && total > TXN_BYTES_MAX)
		r = err_set(e, ERR_TOO_LARGE, "a transaction of %zu bytes; at most %d", total,
		    TXN_BYTES_MAX);
	if (r < 0)
		return r;
	cleanup_json json_t *ask = json_pack("{sO sO}", "compare", compare, "success", success);
	r = ask ? etcd_call(s, "/v3/kv/txn", ask, &answer, NULL, e) : no_memory(e);
	if (r < 0)
		return r;
	if (!json_is_true(json_object_get(answer, "succeeded"))) {
		err_set(e, ERR_CONFLICT, "the state has changed meanwhile");
		return -EAGAIN;
	}
	if (ret_rev)
		*ret_rev = etcd_revision(answer);
	return 0;
}

int store_put(struct store *s, const char *key, json_t *value, int64_t lease, struct err *e)
{
	return store_txn(
	    s, NULL, 0, &(struct store_op){ STORE_PUT, key, value, lease }, 1, NULL, e);
}

int store_delete(struct store *s, const char *key, struct err *e)
{
	return store_txn(
	    s, NULL, 0, &(struct store_op){ .kind = STORE_DELETE, .key = key }, 1, NULL, e);
}
