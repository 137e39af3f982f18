/* A store and its view for the tests of decisions: puts records in, carries transactions out. */
#pragma once
#include "../unit.h"
#include "base/str.h"
#include "core/request.h"

struct plane {
	struct world w;
	json_t *store; /* key -> {"value","rev"} */
	int64_t rev;
	unsigned drawn;
	uint64_t now;
};

static inline void plane_put(struct plane *p, const char *key, json_t *value)
{
	struct err e;
	p->rev++;
	json_object_set_new(
	    p->store, key, json_pack("{s:O,s:I}", "value", value, "rev", (json_int_t)p->rev));
	assert_ok(world_set(&p->w, key, value, p->rev, &e), e);
	json_decref(value);
}

static inline void plane_init(struct plane *p)
{
	struct err e;
	*p = (struct plane){ .store = json_object(), .now = 1000 };
	assert_ok(world_init(&p->w, &e), e);
	plane_put(p, "hosts/h1",
	    json_pack("{s:i,s:s,s:s,s:i,s:i,s:i,s:i,s:s}", "v", 1, "name", "h1", "region", "home",
		"id", 1, "cpus", 4, "memory_mib", 4096, "disk_mib", 102400, "engine", "emulated"));
	plane_put(p, "alive/h1", json_pack("{s:i}", "v", 1));
}

static inline void plane_done(struct plane *p)
{
	world_done(&p->w);
	json_decref(p->store);
}

static inline json_t *plane_get(struct plane *p, const char *key)
{
	return json_object_get(json_object_get(p->store, key), "value");
}

static inline struct fresh plane_fresh(struct plane *p)
{
	struct fresh f = { .random = 100 + p->drawn, .wall_ms = 1700000000000 + p->now };
	p->drawn++;
	snprintf(f.machine, sizeof(f.machine), "%014x", p->drawn);
	snprintf(f.app, sizeof(f.app), "app%013u", p->drawn);
	snprintf(f.instance, sizeof(f.instance), "I%025u", p->drawn);
	return f;
}

/* All compares must hold: the view here is never old. */
static inline void plane_apply(struct plane *p, struct txn *t)
{
	assert_false(t->failed);
	for (size_t i = 0; i < t->n; i++) {
		const json_t *had = json_object_get(p->store, t->op[i].key);
		if (t->op[i].rev != TXN_ANY)
			assert_int_equal(
			    t->op[i].rev, json_integer_value(json_object_get(had, "rev")));
	}
	for (size_t i = 0; i < t->n; i++) {
		struct err e;
		if (t->op[i].only_compare)
			continue;
		if (t->op[i].value) {
			plane_put(p, t->op[i].key, json_incref(t->op[i].value));
			continue;
		}
		json_object_del(p->store, t->op[i].key);
		assert_ok(world_set(&p->w, t->op[i].key, NULL, 0, &e), e);
	}
	txn_done(t);
}

/* Decides one request; returns its outcome (borrowed). */
static inline json_t *plane_ask(
    struct plane *p, const char *kind, const char *app, const char *machine, json_t *body)
{
	static struct txn t;
	struct err e;
	char id[ULID_LEN + 1], key[64];
	struct fresh f = plane_fresh(p);
	snprintf(id, sizeof(id), "R%025u", p->drawn);
	cleanup_json json_t *q = json_pack("{s:i,s:s,s:s,s:s,s:s,s:o}", "v", 1, "kind", kind,
	    "actor", "test", "app", app, "machine", machine, "body", body);
	txn_init(&t);
	assert_ok(request_decide(&p->w, id, q, &f, &t, &e), e);
	plane_apply(p, &t);
	snprintf(key, sizeof(key), "outcomes/%s", id);
	json_t *out = plane_get(p, key);
	assert_non_null(out);
	return out;
}

static inline int plane_status(const json_t *outcome)
{
	return (int)json_integer_value(json_object_get(outcome, "status"));
}

static inline const char *plane_app(struct plane *p, const char *name)
{
	json_t *o = plane_ask(
	    p, "app.create", "", "", json_pack("{s:s,s:s}", "name", name, "org", "clinic"));
	assert_int_equal(plane_status(o), 201);
	int64_t rev;
	return world_name(&p->w, name, &rev);
}
