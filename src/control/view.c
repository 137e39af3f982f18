#include "base/log.h"
#include "base/str.h"
#include "control/control.h"

#define VIEW(prefix, member)                                                                       \
	{                                                                                          \
		prefix, offsetof(struct control, member)                                           \
	}
static const struct {
	const char *prefix;
	size_t at;
} views[] = { VIEW("requests/", requests), VIEW("outcomes/", outcomes), VIEW("apps/", apps),
	VIEW("names/", names), VIEW("desired/", desired), VIEW("observed/", observed),
	VIEW("hosts/", hosts), VIEW("alive/", alive) };

static struct store_view **view_at(struct control *c, size_t i)
{
	return (struct store_view **)(void *)((char *)c + views[i].at);
}

static struct store_view *view_holding(struct control *c, const char *key)
{
	for (size_t i = 0; i < countof(views); i++)
		if (str_starts(key, views[i].prefix))
			return *view_at(c, i);
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
	for (size_t i = 0; r == 0 && i < countof(views); i++)
		r = store_view_open(
		    c->store, c->loop, views[i].prefix, changed, c, view_at(c, i), e);
	return r;
}

void view_stop(struct control *c)
{
	for (size_t i = 0; i < countof(views); i++) {
		if (*view_at(c, i))
			store_view_close(*view_at(c, i));
		*view_at(c, i) = NULL;
	}
	world_done(&c->world);
	json_decref(c->own);
	c->own = NULL;
}

bool view_ready(struct control *c)
{
	for (size_t i = 0; i < countof(views); i++)
		if (!*view_at(c, i) || !store_view_synced(*view_at(c, i)) ||
		    !store_view_connected(*view_at(c, i)))
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
