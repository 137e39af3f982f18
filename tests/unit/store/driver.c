/* Lets a Python test use src/store: JSON lines in, JSON lines out.
 *
 *   store_driver SOCKET USER PASSWORD TIMEOUT_MS
 *   {"op":"get","key":…} {"op":"list","prefix":…}
 * {"op":"txn","compare":[[key,rev]…],"ops":[[key,value,lease]|[key]…]}
 *   {"op":"grant","ttl":n} {"op":"keep","lease":n} {"op":"revoke","lease":n}
 * {"op":"view","prefix":…} {"op":"state"} {"op":"close"} Each is answered by {"r":0…} or
 * {"r":-errno,"code","error"}; a view tells {"key":…,"value":…} (value null: gone; key null:
 * synced). */
#include "base/err.h"
#include "base/str.h"
#include "store/store.h"
#include <fcntl.h>

static struct store *store;
static struct store_view *view;
static sd_event *loop;

static void say(json_t *j)
{
	cleanup_free char *text = json_format(j);
	json_decref(j);
	printf("%s\n", text);
	fflush(stdout);
}

static void answer(int r, const struct err *e, json_t *more)
{
	json_t *j = more ? more : json_object();
	json_object_set_new(j, "r", json_integer(r));
	if (r < 0) {
		json_object_set_new(j, "code", json_string(err_code_name(e->code)));
		json_object_set_new(j, "error", json_string(e->text));
		json_object_set_new(j, "next", json_string(err_next_step(e)));
	}
	say(j);
}

static void on_change(void *arg, const char *key, json_t *value)
{
	json_t *j = json_object();
	json_object_set_new(j, "key", key ? json_string(key) : json_null());
	json_object_set(j, "value", value ? value : json_null());
	say(j);
}

static int on_item(void *arg, const char *key, json_t *value, int64_t rev, struct err *e)
{
	return json_array_append_new(arg, json_pack("[sOI]", key, value, (json_int_t)rev));
}

static int on_held(void *arg, const char *key, json_t *value, int64_t rev)
{
	return json_array_append_new(arg, json_pack("[sOI]", key, value, (json_int_t)rev));
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static void do_txn(const json_t *o)
{
	struct store_compare cmp[80];
	struct store_op ops[80];
	json_t *list = json_object_get(o, "compare"), *v;
	size_t i, ncmp = json_array_size(list), nops;
	struct err e = { 0 };
	int64_t rev = 0;
	json_array_foreach (list, i, v)
		cmp[i] = (struct store_compare){ json_string_value(json_array_get(v, 0)),
			json_integer_value(json_array_get(v, 1)) };
	list = json_object_get(o, "ops");
	nops = json_array_size(list);
	json_array_foreach (list, i, v)
		ops[i] = (struct store_op){ json_array_size(v) > 1 ? STORE_PUT : STORE_DELETE,
			json_string_value(json_array_get(v, 0)), json_array_get(v, 1),
			json_integer_value(json_array_get(v, 2)) };
	int r = store_txn(store, cmp, ncmp, ops, nops, &rev, &e);
	answer(r, &e, json_pack("{sI}", "rev", (json_int_t)rev));
}

static void do_state(void)
{
	json_t *held = json_array();
	store_view_each(view, on_held, held);
	answer(0, NULL,
	    json_pack("{so sb sb sI ss}", "held", held, "synced", store_view_synced(view),
		"connected", store_view_connected(view), "revision",
		(json_int_t)store_view_revision(view), "error", store_view_error(view)->text));
}

static void command(const json_t *o)
{
	const char *op = text(o, "op");
	struct err e = { 0 };
	int64_t n = 0;
	int r;
	if (streq(op, "get")) {
		json_t *value = NULL;
		r = store_get(store, text(o, "key"), &value, &n, &e);
		answer(r, &e,
		    r == 0 ? json_pack("{so sI}", "value", value, "rev", (json_int_t)n) : NULL);
	} else if (streq(op, "list")) {
		json_t *list = json_array();
		r = store_list(store, text(o, "prefix"), on_item, list, &n, &e);
		answer(r, &e, json_pack("{so sI}", "list", list, "rev", (json_int_t)n));
	} else if (streq(op, "txn")) {
		do_txn(o);
	} else if (streq(op, "grant")) {
		r = store_lease_grant(store, json_integer_value(json_object_get(o, "ttl")), &n, &e);
		answer(r, &e, json_pack("{sI}", "lease", (json_int_t)n));
	} else if (streq(op, "keep")) {
		r = store_lease_keep(
		    store, json_integer_value(json_object_get(o, "lease")), &n, &e);
		answer(r, &e, json_pack("{sI}", "ttl", (json_int_t)n));
	} else if (streq(op, "revoke")) {
		r = store_lease_revoke(store, json_integer_value(json_object_get(o, "lease")), &e);
		answer(r, &e, NULL);
	} else if (streq(op, "view")) {
		r = store_view_open(store, loop, text(o, "prefix"), on_change, NULL, &view, &e);
		answer(r, &e, NULL);
	} else if (streq(op, "state")) {
		do_state();
	} else if (streq(op, "close")) {
		store_view_close(view);
		view = NULL;
		answer(0, NULL, NULL);
	} else {
		exit(2);
	}
}

static int on_input(sd_event_source *s, int fd, uint32_t events, void *arg)
{
	static struct buf in;
	if (!in.max)
		buf_init(&in, 16 << 20);
	char chunk[65536];
	ssize_t n = read(fd, chunk, sizeof(chunk));
	if (n <= 0 || buf_add(&in, chunk, (size_t)n) < 0) {
		buf_done(&in);
		return sd_event_exit(loop, 0);
	}
	for (char *end; in.len && (end = memchr(in.data, '\n', in.len));) {
		json_t *o = NULL;
		struct err e;
		size_t len = (size_t)(end - in.data);
		if (json_parse(in.data, len, &o, &e) < 0)
			exit(2);
		buf_consume(&in, len + 1);
		command(o);
		json_decref(o);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct err e;
	sd_event_source *input = NULL;
	if (argc != 5 || sd_event_new(&loop) < 0 ||
	    store_open(argv[1], argv[2], argv[3], atoi(argv[4]), &store, &e) < 0 ||
	    sd_event_add_io(loop, &input, 0, EPOLLIN, on_input, NULL) < 0)
		return 2;
	int r = sd_event_loop(loop);
	store_view_close(view);
	store_close(store);
	sd_event_source_unref(input);
	sd_event_unref(loop);
	return r < 0;
}
