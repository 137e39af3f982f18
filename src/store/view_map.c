#include "store/view_map.h"
#include "base/str.h"

/* Where the key is, or where it belongs. */
static size_t place(const struct view_map *m, const char *key, bool *ret_found)
{
	size_t low = 0, high = m->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strcmp(m->v[mid].key, key);
		if (c == 0) {
			*ret_found = true;
			return mid;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_found = false;
	return low;
}

struct view_entry *view_map_find(const struct view_map *m, const char *key)
{
	bool found;
	size_t i = place(m, key, &found);
	return found ? &m->v[i] : NULL;
}

int view_map_set(struct view_map *m, const char *key, json_t *value, int64_t rev)
{
	bool found;
	size_t i = place(m, key, &found);
	if (found) {
		json_decref(m->v[i].value);
		m->v[i].value = json_incref(value);
		m->v[i].rev = rev;
		return 0;
	}
	if (m->n >= VIEW_KEYS_MAX)
		return -EMSGSIZE;
	if (m->n == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 64;
		struct view_entry *v = realloc(m->v, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		m->v = v;
		m->cap = cap;
	}
	char *copy = strdup(key);
	if (!copy)
		return -ENOMEM;
	memmove(m->v + i + 1, m->v + i, (m->n - i) * sizeof(*m->v));
	m->v[i].key = copy;
	m->v[i].value = json_incref(value);
	m->v[i].rev = rev;
	m->n++;
	return 0;
}

void view_map_remove(struct view_map *m, const char *key)
{
	bool found;
	size_t i = place(m, key, &found);
	if (!found)
		return;
	free(m->v[i].key);
	json_decref(m->v[i].value);
	m->n--;
	memmove(m->v + i, m->v + i + 1, (m->n - i) * sizeof(*m->v));
}

void view_map_done(struct view_map *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].key);
		json_decref(m->v[i].value);
	}
	free(m->v);
	*m = (struct view_map){ 0 };
}
