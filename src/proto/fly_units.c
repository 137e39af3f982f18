#include "proto/fly_units.h"
#include "base/str.h"
#include <strings.h>

static const struct {
	const char *name;
	int64_t us;
} units[] = { { "h", 3600000000 }, { "m", 60000000 }, { "s", 1000000 }, { "ms", 1000 }, { "us", 1 },
	{ "\xc2\xb5s", 1 } };

enum { DURATION_MAX_DAYS = 30 };

bool fly_duration_ms(const char *s, int64_t *ret_ms)
{
	const int64_t max = (int64_t)DURATION_MAX_DAYS * 24 * 3600000000;
	int64_t total = 0;
	if (!*s)
		return false;
	if (streq(s, "0")) {
		*ret_ms = 0;
		return true;
	}
	while (*s) {
		int64_t whole = 0, fraction = 0, scale = 1;
		size_t digits = 0;
		for (; *s >= '0' && *s <= '9'; s++, digits++)
			if ((whole = whole * 10 + (*s - '0')) > max)
				return false;
		if (*s == '.')
			for (s++; *s >= '0' && *s <= '9'; s++, digits++)
				if (scale < 1000000) {
					fraction = fraction * 10 + (*s - '0');
					scale *= 10;
				}
		size_t n = strcspn(s, "0123456789."), u = 0;
		while (u < countof(units) &&
		       !(strlen(units[u].name) == n && !strncmp(s, units[u].name, n)))
			u++;
		if (!digits || u == countof(units) || whole > max / units[u].us)
			return false;
		total += whole * units[u].us + fraction * units[u].us / scale;
		if (total > max)
			return false;
		s += n;
	}
	*ret_ms = total / 1000;
	return true;
}

void fly_duration_format(char dst[24], int64_t ms)
{
	if (ms % 1000)
		snprintf(dst, 24, "%lldms", (long long)ms);
	else
		snprintf(dst, 24, "%llds", (long long)ms / 1000);
}

bool fly_memory_mb(const char *s, int64_t *ret_mb)
{
	char number[24];
	size_t n = strspn(s, "0123456789");
	uint64_t v;
	if (n >= sizeof(number))
		return false;
	memcpy(number, s, n);
	number[n] = 0;
	if (!str_u64(number, 1 << 24, &v))
		return false;
	for (s += n; *s == ' '; s++)
		;
	if (!*s || !strcasecmp(s, "mb") || !strcasecmp(s, "mib") || !strcasecmp(s, "m"))
		*ret_mb = (int64_t)v;
	else if (!strcasecmp(s, "gb") || !strcasecmp(s, "gib") || !strcasecmp(s, "g"))
		*ret_mb = (int64_t)v * 1024;
	else
		return false;
	return true;
}

int conf_duration(
    const struct conf *c, const char *key, int64_t unit_ms, int64_t *ret_ms, struct err *e)
{
	json_t *v = c->o ? json_object_get(c->o, key) : NULL;
	if (!v)
		return 0;
	if (json_is_integer(v)) {
		json_int_t n = json_integer_value(v);
		if (n < 0 || n > (int64_t)DURATION_MAX_DAYS * 86400000 / unit_ms)
			return conf_fail(c, key, e, ERR_INVALID, "is no possible duration");
		*ret_ms = n * unit_ms;
		return 0;
	}
	if (!json_is_string(v) || !fly_duration_ms(json_string_value(v), ret_ms))
		return conf_fail(
		    c, key, e, ERR_INVALID, "must be a duration such as \"10s\" or \"1m30s\"");
	return 0;
}

int conf_memory(
    const struct conf *c, const char *key, int64_t min, int64_t max, int64_t *ret_mb, struct err *e)
{
	json_t *v = c->o ? json_object_get(c->o, key) : NULL;
	if (!v)
		return 0;
	int64_t mb;
	if (json_is_integer(v))
		mb = json_integer_value(v);
	else if (!json_is_string(v) || !fly_memory_mb(json_string_value(v), &mb))
		return conf_fail(
		    c, key, e, ERR_INVALID, "must be a size such as \"512mb\" or \"2gb\"");
	if (mb < min || mb > max)
		return conf_fail(c, key, e, ERR_INVALID, "must be between %lld and %lld MB",
		    (long long)min, (long long)max);
	*ret_mb = mb;
	return 0;
}

/* One word into b; false on an unclosed quote. */
static bool shell_word(const char **s, struct buf *b)
{
	const char *p = *s;
	char quote = 0;
	bool ok = true;
	for (; ok && *p && (quote || !strchr(" \t\n", *p)); p++) {
		if (quote == '\'' ? *p == '\'' : quote ? *p == '"' : *p == '\'' || *p == '"')
			quote = quote ? 0 : *p;
		else if (*p == '\\' && quote != '\'' && p[1] && (!quote || strchr("\"\\$`", p[1])))
			ok = buf_add(b, ++p, 1) == 0;
		else
			ok = buf_add(b, p, 1) == 0;
	}
	*s = p;
	return ok && !quote;
}

static json_t *shell_split(const char *s)
{
	cleanup_json json_t *words = json_array();
	for (;;) {
		s += strspn(s, " \t\n");
		if (!*s)
			return json_incref(words);
		cleanup_buf struct buf b;
		buf_init(&b, 4096);
		if (!shell_word(&s, &b) || json_array_size(words) >= 64 ||
		    json_array_append_new(words, json_string(b.len ? b.data : "")))
			return NULL;
	}
}

int conf_command(const struct conf *c, const char *key, json_t **ret, struct err *e)
{
	json_t *v = c->o ? json_object_get(c->o, key) : NULL;
	if (!v)
		return 0;
	if (json_is_string(v)) {
		json_t *words = shell_split(json_string_value(v));
		if (!words)
			return conf_fail(
			    c, key, e, ERR_INVALID, "has an unclosed quote, or is too long");
		*ret = words;
		return 0;
	}
	const json_t *list = NULL;
	int r = conf_strings(c, key, 64, &list, e);
	if (r == 0)
		*ret = json_deep_copy(list);
	return r;
}
