#include "store/view_level.h"
#include "base/str.h"
#include "store/etcd.h"

/* A value of the map: JSON, or NULL where its writer put something else, which counts as no value
 * at all. */
static json_t *value_of(const json_t *kv)
{
	size_t n;
	struct err e;
	json_t *j = NULL;
	cleanup_free char *text = etcd_get_bytes(kv, "value", &n);
	return text && json_parse(text, n, &j, &e) == 0 ? j : NULL;
}

int level_page(struct level_listing *l, const json_t *answer, struct err *e)
{
	const json_t *header = json_object_get(answer, "header");
	const char *cluster = json_string_value(json_object_get(header, "cluster_id"));
	size_t i;
	json_t *kv;
	cleanup_free char *last = NULL;
	if (!l->revision) {
		l->revision = etcd_get_number(header, "revision");
		str_copy(l->cluster, sizeof(l->cluster), cluster ? cluster : "");
	}
	free(l->next);
	l->next = NULL;
	json_array_foreach (json_object_get(answer, "kvs"), i, kv) {
		char *key = etcd_get_bytes(kv, "key", NULL);
		cleanup_json json_t *value = value_of(kv);
		if (!key)
			continue; /* none of Ward's */
		free(last);
		last = key;
		int r = value
			    ? view_map_set(&l->map, key, value, etcd_get_number(kv, "mod_revision"))
			    : 0;
		if (r < 0)
			return r == -ENOMEM
				   ? err_set(e, ERR_NO_MEMORY, "no memory for what the store holds")
				   : err_set(e, ERR_TOO_LARGE, "more than %d keys below one prefix",
					 VIEW_KEYS_MAX);
	}
	if (!json_is_true(json_object_get(answer, "more")))
		return 0;
	/* after the last key; Ward's keys hold no byte below it */
	if (!last || asprintf(&l->next, "%s\x01", last) < 0) {
		l->next = NULL;
		return err_set(e, ERR_PROTOCOL, "the store says there is more, but not after what");
	}
	return 0;
}

void level_listing_done(struct level_listing *l)
{
	view_map_done(&l->map);
	free(l->next);
	*l = (struct level_listing){ 0 };
}

int level_replace(struct level *v, struct level_listing *l, struct err *e)
{
	if (v->cluster[0] && (!streq(v->cluster, l->cluster) || l->revision < v->revision)) {
		err_set(e, ERR_CONFLICT,
		    "the store is at revision %lld of cluster %s, after %lld of %s: it went back, "
		    "or is another",
		    (long long)l->revision, l->cluster, (long long)v->revision, v->cluster);
		err_next(e,
		    "bring the right store back; or, to accept this one, stop wardd, remove "
		    "machines/seen.json of Ward's data folder, and start wardd");
		return -ESTALE;
	}
	struct view_map old = v->map;
	v->map = l->map; /* before anything is told: a callback sees the new level whole */
	v->revision = l->revision;
	str_copy(v->cluster, sizeof(v->cluster), l->cluster);
	l->map = (struct view_map){ 0 };
	level_listing_done(l);
	size_t o = 0;
	for (size_t i = 0; !*v->stop && (i < v->map.n || o < old.n);) {
		int c = i == v->map.n ? 1 : o == old.n ? -1 : strcmp(v->map.v[i].key, old.v[o].key);
		if (c > 0) {
			v->changed(v->arg, old.v[o++].key, NULL);
			continue;
		}
		const struct view_entry *now = &v->map.v[i++];
		if (c < 0 || now->rev != old.v[o].rev)
			v->changed(v->arg, now->key, now->value);
		if (c == 0)
			o++;
	}
	view_map_done(&old);
	return 0;
}

static int doubt(struct err *e, const char *key)
{
	err_set(e, ERR_CONFLICT, "the watch told an older change of %.*s that was missed before",
	    200, key);
	return -ESTALE;
}

static int one_event(struct level *v, const json_t *event, int64_t floor, struct err *e)
{
	const json_t *kv = json_object_get(event, "kv");
	const char *type = json_string_value(json_object_get(event, "type"));
	bool gone = type && streq(type, "DELETE");
	cleanup_free char *key = etcd_get_bytes(kv, "key", NULL);
	int64_t rev = etcd_get_number(kv, "mod_revision");
	if (!key)
		return 0;
	cleanup_json json_t *value = gone ? NULL : value_of(kv);
	struct view_entry *held = view_map_find(&v->map, key);
	if (rev <= floor) {
		/* A repetition is dropped. But what would have changed the map when it was due was
		 * lost then. */
		bool missed = value ? !held || held->rev < rev : held && held->rev < rev;
		return missed ? doubt(e, key) : 0;
	}
	v->revision = MAX(v->revision, rev);
	if (!value) {
		if (!held)
			return 0;
		view_map_remove(&v->map, key);
	} else if (view_map_set(&v->map, key, value, rev) < 0) {
		err_set(e, ERR_NO_MEMORY, "no room for what the store holds");
		return -ESTALE;
	}
	v->changed(v->arg, key, value);
	return 0;
}

int level_events(struct level *v, const json_t *result, struct err *e)
{
	const char *cluster =
	    json_string_value(json_object_get(json_object_get(result, "header"), "cluster_id"));
	if (cluster && !streq(cluster, v->cluster)) {
		err_set(e, ERR_CONFLICT, "the watch comes from another cluster");
		return -ESTALE;
	}
	/* Changes of one revision come in one message, so what is not above the level reached
	 * before it came already. */
	int64_t floor = v->revision;
	size_t i;
	json_t *event;
	json_array_foreach (json_object_get(result, "events"), i, event) {
		int r = *v->stop ? 0 : one_event(v, event, floor, e);
		if (r < 0)
			return r;
	}
	return 0;
}

void level_done(struct level *v)
{
	view_map_done(&v->map);
}
