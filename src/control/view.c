#include "base/log.h"
#include "base/str.h"
#include "control/control.h"

static struct store_view **views_of(struct control *c, size_t i, const char **ret_prefix)
{
	static const char *const prefix[] = { "requests/", "outcomes/", "apps/", "names/",
		"desired/", "observed/", "hosts/", "alive/" };
	struct store_view **const view[] = { &c->requests, &c->outcomes, &c->apps, &c->names,
		&c->desired, &c->observed, &c->hosts, &c->alive };
	if (i >= countof(prefix))
		return NULL;
	*ret_prefix = prefix[i];
	return view[i];
}

static struct store_view *view_holding(struct control *c, const char *key)
{
	const char *prefix = NULL;
	struct store_view **v;
	for (size_t i = 0; (v = views_of(c, i, &prefix)); i++)
		if (str_starts(key, prefix))
			return *v;
	return NULL;
}

static void changed(void *arg, const char *key, json_t *value)
{
	struct control *c = arg;
	struct err e;
	work_soon(c);
	struct store_view *v = key ? view_holding(c, key) : NULL;
	if (!v)
		return;
	int64_t rev = 0;
	if (value)
		(void)store_view_get(v, key, &rev);
	const json_t *own = json_object_get(c->own, key);
	if (own && value && rev < json_integer_value(own))
		return; /* older than what we wrote ourselves */
	if (own)
		json_object_del(c->own, key);
	if (world_set(&c->world, key, value, rev, &e) < 0)
		log_err(&e, "%s is left out", key);
}

int view_start(struct control *c, struct err *e)
{
	c->own = json_object();
	int r = c->own ? world_init(&c->world, e) : err_set(e, ERR_NO_MEMORY, "no memory");
	const char *prefix = NULL;
	struct store_view **v;
	for (size_t i = 0; r == 0 && (v = views_of(c, i, &prefix)); i++)
		r = store_view_open(c->store, c->loop, prefix, changed, c, v, e);
	return r;
}

void view_stop(struct control *c)
{
	const char *prefix = NULL;
	struct store_view **v;
	for (size_t i = 0; (v = views_of(c, i, &prefix)); i++) {
		if (*v)
			store_view_close(*v);
		*v = NULL;
	}
	world_done(&c->world);
	json_decref(c->own);
	c->own = NULL;
}

bool view_ready(const struct control *c)
{
	const char *prefix = NULL;
	struct store_view **v;
	for (size_t i = 0; (v = views_of((struct control *)(uintptr_t)c, i, &prefix)); i++)
		if (!*v || !store_view_synced(*v))
			return false;
	return true;
}

void view_wrote(struct control *c, const struct txn *t, int64_t rev)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct txn_op *op = &t->op[i];
		struct err e;
		if (op->only_compare)
			continue;
		if (op->value)
			json_object_set_new(c->own, op->key, json_integer(rev));
		if (world_set(&c->world, op->key, op->value, rev, &e) < 0)
			log_err(&e, "%s, written by ourselves, cannot be read", op->key);
	}
}
