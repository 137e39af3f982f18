#include "proto/conf.h"
#include "base/str.h"

void conf_root(struct conf *c, const struct toml *doc)
{
	*c = (struct conf){ .doc = doc, .o = doc->root };
}

static json_t *get(const struct conf *c, const char *key)
{
	return c->o ? json_object_get(c->o, key) : NULL;
}

bool conf_has(const struct conf *c, const char *key)
{
	return get(c, key);
}

int conf_fail(
    const struct conf *c, const char *key, struct err *e, enum err_code code, const char *fmt, ...)
{
	char what[300], path[TOML_PATH_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	str_copy(path, sizeof(path), c->path);
	if (key)
		toml_path_key(path, sizeof(path), key);
	unsigned line = toml_line(c->doc, path);
	if (!line) /* the key is missing: its table's line is the place to look */
		line = toml_line(c->doc, c->path);
	if (line)
		return err_set(e, code, "line %u: %.200s %s", line, path, what);
	return err_set(e, code, "%.200s%s%s", path, *path ? " " : "", what);
}

static int wrong_type(const struct conf *c, const char *key, struct err *e, const char *want)
{
	return conf_fail(c, key, e, ERR_INVALID, "must be %s", want);
}

static void enter(const struct conf *c, const char *key, const json_t *o, struct conf *ret)
{
	struct conf t = { .doc = c->doc, .o = o };
	memcpy(t.path, c->path, sizeof(t.path));
	toml_path_key(t.path, sizeof(t.path), key);
	*ret = t;
}

int conf_table(const struct conf *c, const char *key, struct conf *ret, struct err *e)
{
	json_t *v = get(c, key);
	if (v && !json_is_object(v))
		return wrong_type(c, key, e, "a table");
	enter(c, key, v, ret);
	return 0;
}

int conf_tables(const struct conf *c, const char *key, size_t max, size_t *ret_n, struct err *e)
{
	json_t *v = get(c, key);
	size_t n = json_is_array(v) ? json_array_size(v) : v ? 1 : 0;
	if (v && !json_is_array(v) && !json_is_object(v))
		return wrong_type(c, key, e, "a table or an array of tables");
	for (size_t i = 0; json_is_array(v) && i < n; i++)
		if (!json_is_object(json_array_get(v, i)))
			return wrong_type(c, key, e, "an array of tables");
	if (n > max)
		return conf_fail(
		    c, key, e, ERR_TOO_LARGE, "has %zu entries; at most %zu are allowed", n, max);
	*ret_n = n;
	return 0;
}

void conf_table_at(const struct conf *c, const char *key, size_t i, struct conf *ret)
{
	json_t *v = get(c, key);
	if (!json_is_array(v)) {
		enter(c, key, v, ret);
		return;
	}
	enter(c, key, json_array_get(v, i), ret);
	size_t at = strlen(ret->path);
	snprintf(ret->path + at, sizeof(ret->path) - at, "[%zu]", i);
}

/* Calls out each word of a space-separated list; false at its end. */
static bool next_word(const char **list, char word[64])
{
	const char *p = *list + strspn(*list, " ");
	size_t n = strcspn(p, " ");
	if (!n || n >= 64)
		return false;
	memcpy(word, p, n);
	word[n] = 0;
	*list = p + n;
	return true;
}

int conf_known(const struct conf *c, const char *known, struct err *e)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)c->o, key, v) {
		char word[64], nearest[64] = "";
		unsigned best = 3 + (strlen(key) > 8), found = 0;
		for (const char *p = known; !found && next_word(&p, word);) {
			unsigned d = str_distance(key, word);
			found = d == 0;
			if (d < best && d < strlen(key)) {
				best = d;
				memcpy(nearest, word, sizeof(nearest));
			}
		}
		if (found)
			continue;
		if (!*nearest)
			return conf_fail(c, key, e, ERR_UNKNOWN_KEY, "is not a known key");
		return conf_fail(
		    c, key, e, ERR_UNKNOWN_KEY, "is not a known key; did you mean `%s`?", nearest);
	}
	return 0;
}

int conf_unsupported(const struct conf *c, const char *keys, struct err *e)
{
	char word[64];
	while (next_word(&keys, word))
		if (conf_has(c, word))
			return conf_fail(c, word, e, ERR_UNSUPPORTED, "is not supported yet");
	return 0;
}

int conf_str(const struct conf *c, const char *key, const char **ret, struct err *e)
{
	json_t *v = get(c, key);
	if (!v)
		return 0;
	if (!json_is_string(v))
		return wrong_type(c, key, e, "a string (in quotes)");
	*ret = json_string_value(v);
	return 0;
}

int conf_bool(const struct conf *c, const char *key, bool *ret, struct err *e)
{
	json_t *v = get(c, key);
	if (!v)
		return 0;
	if (!json_is_boolean(v))
		return wrong_type(c, key, e, "true or false (without quotes)");
	*ret = json_is_true(v);
	return 0;
}

int conf_int(
    const struct conf *c, const char *key, int64_t min, int64_t max, int64_t *ret, struct err *e)
{
	json_t *v = get(c, key);
	if (!v)
		return 0;
	if (!json_is_integer(v))
		return wrong_type(c, key, e, "a whole number (without quotes)");
	json_int_t n = json_integer_value(v);
	if (n < min || n > max)
		return conf_fail(c, key, e, ERR_INVALID, "must be between %lld and %lld",
		    (long long)min, (long long)max);
	*ret = n;
	return 0;
}

int conf_word(
    const struct conf *c, const char *key, const char *words, unsigned *ret, struct err *e)
{
	const char *s = NULL;
	int r = conf_str(c, key, &s, e);
	if (r < 0 || !s)
		return r;
	char word[64];
	unsigned i = 0;
	for (const char *p = words; next_word(&p, word); i++)
		if (streq(word, s)) {
			*ret = i;
			return 0;
		}
	return conf_fail(c, key, e, ERR_INVALID, "is \"%.40s\"; it must be one of: %s", s, words);
}

int conf_strings(
    const struct conf *c, const char *key, size_t max, const json_t **ret, struct err *e)
{
	json_t *v = get(c, key);
	if (!v)
		return 0;
	if (!json_is_array(v))
		return wrong_type(c, key, e, "an array of strings");
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!json_is_string(json_array_get(v, i)))
			return wrong_type(c, key, e, "an array of strings");
	if (json_array_size(v) > max)
		return conf_fail(c, key, e, ERR_TOO_LARGE,
		    "has %zu entries; at most %zu are allowed", json_array_size(v), max);
	*ret = v;
	return 0;
}
