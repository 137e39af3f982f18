#include "base/str.h"
#include "proto/toml_parser.h"
#include <math.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int digit_of(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* Digits of a base with single underscores between them; moves *s past them. False when there is
 * none or an underscore is astray. */
static bool skip_digits(const char **s, int base)
{
	const char *p = *s;
	if (digit_of(*p) >= base)
		return false;
	for (;;) {
		while (digit_of(*p) < base)
			p++;
		if (*p != '_')
			break;
		if (digit_of(*++p) >= base)
			return false;
	}
	*s = p;
	return true;
}

static int integer(struct toml_parser *t, const char *digits, int base, bool negative, json_t **ret)
{
	uint64_t n = 0, max = (uint64_t)INT64_MAX + (negative ? 1 : 0);
	for (const char *p = digits; *p; p++) {
		if (*p == '_')
			continue;
		uint64_t d = (uint64_t)digit_of(*p);
		if (n > (max - d) / (uint64_t)base)
			return toml_fail(t, "this number does not fit in 64 bits");
		n = n * (uint64_t)base + d;
	}
	*ret = json_integer(negative ? (json_int_t)(0 - n) : (json_int_t)n);
	return *ret ? 0 : toml_no_memory(t);
}

static int not_a_value(struct toml_parser *t, const char *word)
{
	return *word ? toml_fail(t, "`%.60s` is not a value; strings need quotes", word)
		     : toml_fail(t, "a value is expected here");
}

static int real(struct toml_parser *t, const char *word, json_t **ret)
{
	char plain[72];
	size_t n = 0;
	for (const char *p = word; *p && n + 1 < sizeof(plain); p++)
		if (*p != '_')
			plain[n++] = *p;
	plain[n] = 0;
	double d = strtod(plain, NULL);
	if (!isfinite(d))
		return toml_fail(t, "this number is out of range");
	*ret = json_real(d);
	return *ret ? 0 : toml_no_memory(t);
}

static bool looks_like_date(const char *w)
{
	size_t n = strspn(w, "0123456789");
	return (n == 4 && w[4] == '-') || (n == 2 && w[2] == ':');
}

static int number(struct toml_parser *t, const char *word, json_t **ret)
{
	const char *p = word;
	bool sign = *p == '+' || *p == '-';
	if (sign)
		p++;
	if (streq(p, "inf") || streq(p, "nan"))
		return err_set(
		    t->e, ERR_UNSUPPORTED, "line %u: inf and nan have no use here", t->line);
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'o' || p[1] == 'b')) {
		int base = p[1] == 'x' ? 16 : p[1] == 'o' ? 8 : 2;
		const char *end = p + 2;
		if (sign || !skip_digits(&end, base) || *end)
			return not_a_value(t, word);
		return integer(t, p + 2, base, false, ret);
	}
	const char *end = p;
	if (!skip_digits(&end, 10))
		return not_a_value(t, word);
	if (*p == '0' && (is_digit(p[1]) || p[1] == '_'))
		return toml_fail(t, "`%.60s`: numbers must not begin with 0", word);
	if (!*end)
		return integer(t, p, 10, *word == '-', ret);
	if (*end == '.') {
		end++;
		if (!skip_digits(&end, 10))
			return not_a_value(t, word);
	}
	if (*end == 'e' || *end == 'E') {
		end++;
		if (*end == '+' || *end == '-')
			end++;
		if (!skip_digits(&end, 10))
			return not_a_value(t, word);
	}
	return *end ? not_a_value(t, word) : real(t, word, ret);
}

static bool is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("+-._:", c));
}

static int word_value(struct toml_parser *t, json_t **ret)
{
	char word[72] = "";
	size_t n = 0;
	for (; t->p + n < t->end && is_word(t->p[n]); n++) {
		if (n + 1 == sizeof(word))
			return toml_fail(t, "this is not a value; strings need quotes");
		word[n] = t->p[n];
	}
	word[n] = 0;
	t->p += n;
	if (streq(word, "true") || streq(word, "false")) {
		*ret = json_boolean(*word == 't');
		return 0;
	}
	if (looks_like_date(word))
		return err_set(t->e, ERR_UNSUPPORTED,
		    "line %u: dates and times have no use here; put quotes around it", t->line);
	return number(t, word, ret);
}

static int string_value(struct toml_parser *t, json_t **ret)
{
	cleanup_buf struct buf b;
	buf_init(&b, TOML_BYTES_MAX);
	int r = toml_string(t, true, &b);
	if (r < 0)
		return r;
	*ret = json_stringn(b.len ? b.data : "", b.len);
	return *ret ? 0 : toml_no_memory(t);
}

static int array_elements(struct toml_parser *t, json_t *array)
{
	size_t base = strlen(t->path);
	for (;;) {
		int r = toml_blank_lines(t);
		if (r < 0)
			return r;
		if (toml_at(t, ']')) {
			t->p++;
			return 0;
		}
		int n = snprintf(
		    t->path + base, sizeof(t->path) - base, "[%zu]", json_array_size(array));
		if (n < 0 || (size_t)n >= sizeof(t->path) - base)
			return toml_fail(t, "this key's path is too long");
		json_t *v = NULL;
		unsigned line = t->line;
		r = toml_value(t, &v);
		if (r == 0)
			r = toml_mark(t, TOML_INLINE, line);
		t->path[base] = 0;
		if (r == 0 && json_array_append(array, v))
			r = toml_no_memory(t);
		json_decref(v);
		if (r == 0)
			r = toml_blank_lines(t);
		if (r < 0)
			return r;
		if (toml_at(t, ','))
			t->p++;
		else if (!toml_at(t, ']'))
			return toml_fail(t, "`,` or `]` is expected in this array");
	}
}

static int inline_members(struct toml_parser *t, json_t *table)
{
	size_t base = strlen(t->path);
	toml_blanks(t);
	if (toml_at(t, '}')) {
		t->p++;
		return 0;
	}
	for (;;) {
		int r = toml_key_value(t, table);
		t->path[base] = 0;
		if (r < 0)
			return r;
		toml_blanks(t);
		if (toml_at(t, '}')) {
			t->p++;
			return 0;
		}
		if (!toml_at(t, ','))
			return toml_fail(
			    t, "`,` or `}` is expected in this inline table, all on one line");
		t->p++;
		toml_blanks(t);
	}
}

static int nested(struct toml_parser *t, json_t **ret)
{
	bool array = *t->p == '[';
	if (t->depth >= TOML_DEPTH_MAX)
		return toml_fail(t, "values nested deeper than %d", TOML_DEPTH_MAX);
	t->p++;
	cleanup_json json_t *v = array ? json_array() : json_object();
	if (!v)
		return toml_no_memory(t);
	t->depth++;
	int r = array ? array_elements(t, v) : inline_members(t, v);
	t->depth--;
	if (r == 0)
		*ret = steal_ptr(&v);
	return r;
}

int toml_value(struct toml_parser *t, json_t **ret)
{
	if (++t->values > TOML_VALUES_MAX)
		return toml_fail(t, "more than %d values", TOML_VALUES_MAX);
	if (t->p == t->end)
		return toml_fail(t, "the document ends where a value is expected");
	switch (*t->p) {
	case '"':
	case '\'': return string_value(t, ret);
	case '[':
	case '{': return nested(t, ret);
	default: return word_value(t, ret);
	}
}
