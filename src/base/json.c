#include "base/json.h"
#include "base/file.h"
#include "base/str.h"

int json_parse(const char *text, size_t len, json_t **ret, struct err *e)
{
	json_error_t je;
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (!j)
		return err_set(e, ERR_INVALID, "not valid JSON: line %d column %d: %s", je.line,
		    je.column, je.text);
	*ret = j;
	return 0;
}

int json_read_file(int dirfd, const char *name, size_t max, json_t **ret, struct err *e)
{
	cleanup_free char *text = NULL;
	size_t len;
	int r = file_read(dirfd, name, max, &text, &len, e);
	if (r < 0)
		return r;
	r = json_parse(text, len, ret, e);
	return r < 0 ? err_prefix(e, r, "%s", name) : 0;
}

char *json_format(const json_t *j)
{
	return json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

int json_write_file(int dirfd, const char *name, const json_t *j, mode_t mode, struct err *e)
{
	cleanup_free char *text = json_format(j);
	if (!text)
		return err_set(e, ERR_NO_MEMORY, "no memory to write %s", name);
	return file_write(dirfd, name, text, strlen(text), mode, e);
}

bool json_is_deeper(const json_t *j, unsigned max)
{
	if (!json_is_object(j) && !json_is_array(j))
		return false;
	if (max == 0)
		return true;
	const char *key;
	size_t i;
	json_t *v;
	json_object_foreach ((json_t *)(uintptr_t)j, key, v) {
		if (json_is_deeper(v, max - 1))
			return true;
	}
	json_array_foreach (j, i, v) {
		if (json_is_deeper(v, max - 1))
			return true;
	}
	return false;
}

static int wrong(struct err *e, const char *path, const char *key, const char *what)
{
	return err_set(e, ERR_INVALID, "%s%s%s must be %s", path, *path ? "." : "", key, what);
}

static json_t *member(const json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);
	return json_is_null(v) ? NULL : v;
}

int json_opt_str(
    const json_t *o, const char *path, const char *key, const char **ret, struct err *e)
{
	json_t *v = member(o, key);
	if (!v)
		return 0;
	if (!json_is_string(v))
		return wrong(e, path, key, "a string");
	*ret = json_string_value(v);
	return 0;
}

int json_opt_int(const json_t *o, const char *path, const char *key, int64_t min, int64_t max,
    int64_t *ret, struct err *e)
{
	json_t *v = member(o, key);
	if (!v)
		return 0;
	if (!json_is_integer(v))
		return wrong(e, path, key, "a whole number");
	json_int_t n = json_integer_value(v);
	if (n < min || n > max)
		return err_set(e, ERR_INVALID, "%s%s%s must be between %lld and %lld", path,
		    *path ? "." : "", key, (long long)min, (long long)max);
	*ret = n;
	return 0;
}

int json_opt_bool(const json_t *o, const char *path, const char *key, bool *ret, struct err *e)
{
	json_t *v = member(o, key);
	if (!v)
		return 0;
	if (!json_is_boolean(v))
		return wrong(e, path, key, "true or false");
	*ret = json_is_true(v);
	return 0;
}

int json_opt_object(const json_t *o, const char *path, const char *key, json_t **ret, struct err *e)
{
	json_t *v = member(o, key);
	if (!v)
		return 0;
	if (!json_is_object(v))
		return wrong(e, path, key, "an object");
	*ret = v;
	return 0;
}

int json_opt_array(const json_t *o, const char *path, const char *key, json_t **ret, struct err *e)
{
	json_t *v = member(o, key);
	if (!v)
		return 0;
	if (!json_is_array(v))
		return wrong(e, path, key, "an array");
	*ret = v;
	return 0;
}

int json_need_str(
    const json_t *o, const char *path, const char *key, const char **ret, struct err *e)
{
	return member(o, key) ? json_opt_str(o, path, key, ret, e) : wrong(e, path, key, "given");
}

int json_need_int(const json_t *o, const char *path, const char *key, int64_t min, int64_t max,
    int64_t *ret, struct err *e)
{
	return member(o, key) ? json_opt_int(o, path, key, min, max, ret, e)
			      : wrong(e, path, key, "given");
}
