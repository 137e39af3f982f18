#include "core/duration.h"
#include "base/str.h"

static const struct unit {
	const char *name;
	double ms;
} units[] = { { "ms", 1 }, { "us", 1e-3 }, { "ns", 1e-6 }, { "h", 3.6e6 }, { "m", 6e4 },
	{ "s", 1e3 } };

static const double longest_ms = 1000 * 86400e3;

static const struct unit *unit_at(const char *s)
{
	for (size_t i = 0; i < countof(units); i++)
		if (str_starts(s, units[i].name))
			return &units[i];
	return NULL;
}

bool duration_parse_ms(const char *s, int64_t *ret_ms)
{
	double total = 0;
	if (streq(s, "0")) {
		*ret_ms = 0;
		return true;
	}
	do {
		double n = 0, place = 1;
		bool point = false, digits = false;
		for (; (*s >= '0' && *s <= '9') || (*s == '.' && !point); s++) {
			if (*s == '.') {
				point = true;
				continue;
			}
			digits = true;
			if (point)
				n += (*s - '0') * (place /= 10);
			else
				n = n * 10 + (*s - '0');
			if (n > longest_ms * 1e6)
				return false;
		}
		const struct unit *u = unit_at(s);
		if (!digits || !u)
			return false;
		total += n * u->ms;
		s += strlen(u->name);
	} while (*s);
	if (total > longest_ms)
		return false;
	*ret_ms = (int64_t)(total + 0.5);
	return true;
}

int duration_opt_ms(
    const json_t *o, const char *path, const char *key, int64_t *ret_ms, struct err *e)
{
	const json_t *v = json_object_get(o, key);
	if (!v || json_is_null(v))
		return 0;
	if (json_is_integer(v) && json_integer_value(v) >= 0 &&
	    (double)json_integer_value(v) <= longest_ms * 1e6) {
		*ret_ms = (json_integer_value(v) + 500000) / 1000000;
		return 0;
	}
	if (json_is_string(v) && duration_parse_ms(json_string_value(v), ret_ms))
		return 0;
	return err_set(e, ERR_INVALID,
	    "%s%s%s must be a duration such as \"10s\", or nanoseconds as a number", path,
	    *path ? "." : "", key);
}
