/* What a view holds: keys in order, each with its value and modification revision. */
#pragma once
#include "base/json.h"

struct view_entry {
	char *key;
	json_t *value;
	int64_t rev;
};

struct view_map {
	struct view_entry *v;
	size_t n, cap;
};

enum { VIEW_KEYS_MAX = 200000 };

/* The entry, or NULL. */
struct view_entry *view_map_find(const struct view_map *m, const char *key);
/* Puts or replaces; value is borrowed. -EMSGSIZE past VIEW_KEYS_MAX, -ENOMEM. */
int view_map_set(struct view_map *m, const char *key, json_t *value, int64_t rev) must_check;
void view_map_remove(struct view_map *m, const char *key); /* absent is fine */
void view_map_done(struct view_map *m);
