#include "api/schema.h"
#include "base/str.h"
#include "core/duration.h"

struct walk {
	bool closed;
	struct schema_warnings *warnings;
	char path[SCHEMA_PATH_MAX];
	struct err *e;
};

static int check(struct walk *w, const struct schema *s, const json_t *v);

/* ---- where we are ---- */

/* Appends a member's name (or an index) to the path; returns the length to go back to. */
static size_t enter(struct walk *w, const char *name)
{
	size_t n = strlen(w->path);
	snprintf(w->path + n, sizeof(w->path) - n, "%s%.60s", n ? "." : "", name);
	return n;
}

static void leave(struct walk *w, size_t n)
{
	w->path[n] = 0;
}

static const char *here(const struct walk *w)
{
	return w->path[0] ? w->path : "the body";
}

static void warn(struct walk *w, const char *name, const char *text)
{
	struct schema_warnings *list = w->warnings;
	if (!list)
		return;
	size_t n = enter(w, name);
	if (list->count < SCHEMA_WARNINGS_MAX)
		snprintf(list->text[list->count], sizeof(list->text[0]), "%s %s", w->path, text);
	list->count++;
	leave(w, n);
}

/* ---- values ---- */

static const char *type_name(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT: return "an object";
	case JSON_ARRAY: return "a list";
	case JSON_STRING: return "a string";
	case JSON_INTEGER: return "an integer";
	case JSON_REAL: return "a fraction";
	case JSON_TRUE:
	case JSON_FALSE: return "a boolean";
	default: return "null";
	}
}

static int wrong_type(struct walk *w, const char *wanted, const json_t *v)
{
	return err_set(w->e, ERR_INVALID, "%s must be %s, not %s", here(w), wanted, type_name(v));
}

static int check_range(struct walk *w, const struct schema *s, int64_t n, const char *unit)
{
	if (n >= s->min && n <= s->max)
		return 0;
	return err_set(w->e, ERR_INVALID, "%s must be between %lld and %lld%s, not %lld", here(w),
	    (long long)s->min, (long long)s->max, unit, (long long)n);
}

static int check_one_of(struct walk *w, const struct schema *s, const char *text)
{
	char list[200] = "";
	for (const char *const *o = s->one_of; *o; o++) {
		if (streq(*o, text))
			return 0;
		size_t n = strlen(list);
		snprintf(list + n, sizeof(list) - n, "%s\"%s\"", n ? ", " : "", *o);
	}
	return err_set(
	    w->e, ERR_INVALID, "%s must be one of %s, not \"%.40s\"", here(w), list, text);
}

static int check_string(struct walk *w, const struct schema *s, const json_t *v)
{
	const char *text = json_string_value(v);
	int r = check_range(w, s, (int64_t)json_string_length(v), " bytes long");
	if (r == 0 && s->one_of)
		r = check_one_of(w, s, text);
	if (r == 0 && s->ok && !s->ok(text))
		r = err_set(w->e, ERR_INVALID, "%s %s, not \"%.60s\"", here(w), s->must, text);
	return r;
}

static bool duration_json_ms(const json_t *v, int64_t *ret_ms)
{
	if (json_is_string(v))
		return duration_parse_ms(json_string_value(v), ret_ms);
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*ret_ms = json_integer_value(v) / 1000000;
	return true;
}

static int check_duration(struct walk *w, const struct schema *s, const json_t *v)
{
	int64_t ms;
	if (!duration_json_ms(v, &ms))
		return err_set(w->e, ERR_INVALID,
		    "%s must be a duration like \"10s\" or \"1m30s\" (or whole nanoseconds)",
		    here(w));
	return check_range(w, s, ms, " ms");
}

static int check_array(struct walk *w, const struct schema *s, const json_t *v)
{
	int r = check_range(w, s, (int64_t)json_array_size(v), " items long");
	size_t i;
	json_t *item;
	json_array_foreach (v, i, item) {
		char index[24];
		snprintf(index, sizeof(index), "%zu", i);
		size_t n = enter(w, index);
		if (r == 0)
			r = check(w, s->item, item);
		leave(w, n);
		if (r < 0)
			return r;
	}
	return r;
}

static int check_map(struct walk *w, const struct schema *s, const json_t *v)
{
	int r = check_range(w, s, (int64_t)json_object_size(v), " members long");
	const char *key;
	json_t *item;
	json_object_foreach ((json_t *)v, key, item) {
		if (r == 0 && s->ok && !s->ok(key))
			r = err_set(w->e, ERR_INVALID, "in %s the name \"%.60s\" %s", here(w), key,
			    s->must);
		size_t n = enter(w, key);
		if (r == 0)
			r = check(w, s->item, item);
		leave(w, n);
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- objects ---- */

static const struct schema_field *find_field(const struct schema *s, const char *name)
{
	for (const struct schema_field *f = s->fields; f->name; f++)
		if (streq(f->name, name))
			return f;
	return NULL;
}

static int unknown_field(struct walk *w, const struct schema *s, const char *key)
{
	if (!w->closed) {
		warn(w, key, "is not known here; it is kept and not acted on");
		return 0;
	}
	const char *nearest = NULL;
	unsigned best = 3;
	for (const struct schema_field *f = s->fields; f->name; f++) {
		unsigned d = str_distance(f->name, key);
		if (d < best) {
			best = d;
			nearest = f->name;
		}
	}
	size_t n = enter(w, key);
	int r = err_set(w->e, ERR_UNKNOWN_KEY, "%s is not a known field%s%s%s", w->path,
	    nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
	leave(w, n);
	return r;
}

static bool is_nothing(const json_t *v)
{
	return json_is_null(v) || json_is_false(v) ||
	       (json_is_integer(v) && json_integer_value(v) == 0) ||
	       (json_is_string(v) && json_string_length(v) == 0) ||
	       (json_is_array(v) && json_array_size(v) == 0) ||
	       (json_is_object(v) && json_object_size(v) == 0);
}

static int check_field(struct walk *w, const struct schema_field *f, const json_t *v)
{
	if ((f->flags & FIELD_LATER) && is_nothing(v))
		return 0;
	if (f->flags & FIELD_LATER) {
		size_t n = enter(w, f->name);
		int r = err_set(w->e, ERR_UNSUPPORTED, "%s is not supported yet", w->path);
		leave(w, n);
		return r;
	}
	if ((f->flags & FIELD_IDLE) && !is_nothing(v))
		warn(w, f->name, "is kept, but nothing acts on it yet");
	size_t n = enter(w, f->name);
	int r = check(w, f->is, v);
	leave(w, n);
	return r;
}

static int check_object(struct walk *w, const struct schema *s, const json_t *v)
{
	const char *key;
	json_t *item;
	json_object_foreach ((json_t *)v, key, item) {
		const struct schema_field *f = find_field(s, key);
		int r = 0;
		if (!f)
			r = unknown_field(w, s, key);
		else if (!json_is_null(item))
			r = check_field(w, f, item);
		if (r < 0)
			return r;
	}
	for (const struct schema_field *f = s->fields; f->name; f++) {
		const json_t *item_v = json_object_get(v, f->name);
		if ((f->flags & FIELD_REQUIRED) && (!item_v || json_is_null(item_v))) {
			size_t n = enter(w, f->name);
			int r = err_set(w->e, ERR_INVALID, "%s is missing", w->path);
			leave(w, n);
			return r;
		}
	}
	return 0;
}

static bool also_fine(const struct schema *s, const json_t *v)
{
	return (s->also & ALSO_BOOL && json_is_boolean(v)) ||
	       (s->also & ALSO_INT && json_is_integer(v)) ||
	       (s->also & ALSO_STRING && json_is_string(v));
}

static int check(struct walk *w, const struct schema *s, const json_t *v)
{
	if (also_fine(s, v))
		return 0;
	switch (s->kind) {
	case SCHEMA_STRING:
		return json_is_string(v) ? check_string(w, s, v) : wrong_type(w, "a string", v);
	case SCHEMA_INT:
		return json_is_integer(v) ? check_range(w, s, json_integer_value(v), "")
					  : wrong_type(w, "an integer", v);
	case SCHEMA_BOOL: return json_is_boolean(v) ? 0 : wrong_type(w, "true or false", v);
	case SCHEMA_DURATION: return check_duration(w, s, v);
	case SCHEMA_OBJECT:
		return json_is_object(v) ? check_object(w, s, v) : wrong_type(w, "an object", v);
	case SCHEMA_ARRAY:
		return json_is_array(v) ? check_array(w, s, v) : wrong_type(w, "a list", v);
	case SCHEMA_MAP:
		return json_is_object(v) ? check_map(w, s, v) : wrong_type(w, "an object", v);
	case SCHEMA_ANY: return 0;
	}
	return -EINVAL;
}

int schema_check(const struct schema *s, const json_t *value, bool closed,
    struct schema_warnings *w, struct err *e)
{
	struct walk walk = { .closed = closed, .warnings = w, .e = e };
	return check(&walk, s, value);
}
