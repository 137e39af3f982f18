#include "base/str.h"
#include "proto/toml_parser.h"

static int add(struct toml_parser *t, struct buf *out, const void *p, size_t n)
{
	int r = buf_add(out, p, n);
	if (r == -EMSGSIZE)
		return toml_fail(t, "a string or key longer than %zu bytes", out->max);
	return r < 0 ? toml_no_memory(t) : 0;
}

static int add_codepoint(struct toml_parser *t, struct buf *out, uint32_t c)
{
	if (c == 0)
		return toml_fail(t, "the NUL character is not allowed in strings here");
	if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return toml_fail(t, "\\u%04X is not a Unicode character", c);
	char u[4];
	size_t n;
	if (c < 0x80) {
		u[0] = (char)c;
		n = 1;
	} else if (c < 0x800) {
		u[0] = (char)(0xc0 | c >> 6);
		u[1] = (char)(0x80 | (c & 0x3f));
		n = 2;
	} else if (c < 0x10000) {
		u[0] = (char)(0xe0 | c >> 12);
		u[1] = (char)(0x80 | (c >> 6 & 0x3f));
		u[2] = (char)(0x80 | (c & 0x3f));
		n = 3;
	} else {
		u[0] = (char)(0xf0 | c >> 18);
		u[1] = (char)(0x80 | (c >> 12 & 0x3f));
		u[2] = (char)(0x80 | (c >> 6 & 0x3f));
		u[3] = (char)(0x80 | (c & 0x3f));
		n = 4;
	}
	return add(t, out, u, n);
}

static int hex_escape(struct toml_parser *t, struct buf *out, unsigned digits)
{
	uint32_t c = 0;
	for (unsigned i = 0; i < digits; i++, t->p++) {
		char d = t->p < t->end ? *t->p : 0;
		uint32_t v;
		if (d >= '0' && d <= '9')
			v = (uint32_t)(d - '0');
		else if (d >= 'a' && d <= 'f')
			v = (uint32_t)(d - 'a' + 10);
		else if (d >= 'A' && d <= 'F')
			v = (uint32_t)(d - 'A' + 10);
		else
			return toml_fail(
			    t, "\\%c needs %u hexadecimal digits", digits == 4 ? 'u' : 'U', digits);
		c = c << 4 | v;
	}
	return add_codepoint(t, out, c);
}

static bool at_newline(const struct toml_parser *t)
{
	return toml_at(t, '\n') || (toml_at(t, '\r') && t->p + 1 < t->end && t->p[1] == '\n');
}

static void skip_newline(struct toml_parser *t)
{
	t->p += *t->p == '\r' ? 2 : 1;
	t->line++;
}

/* A backslash at the end of a line: it, and all blanks and newlines up to the next other character,
 * vanish. False if it is none. */
static bool line_continuation(struct toml_parser *t)
{
	const char *p = t->p;
	while (p < t->end && (*p == ' ' || *p == '\t'))
		p++;
	struct toml_parser ahead = { .p = p, .end = t->end };
	if (!at_newline(&ahead))
		return false;
	t->p = p;
	for (;;) {
		if (at_newline(t))
			skip_newline(t);
		else if (toml_at(t, ' ') || toml_at(t, '\t'))
			t->p++;
		else
			return true;
	}
}

/* After the backslash. */
static int escape(struct toml_parser *t, bool multi, struct buf *out)
{
	if (multi && line_continuation(t))
		return 0;
	if (t->p == t->end)
		return toml_fail(t, "the document ends inside a string");
	char c = *t->p++;
	switch (c) {
	case 'b': return add(t, out, "\b", 1);
	case 't': return add(t, out, "\t", 1);
	case 'n': return add(t, out, "\n", 1);
	case 'f': return add(t, out, "\f", 1);
	case 'r': return add(t, out, "\r", 1);
	case '"': return add(t, out, "\"", 1);
	case '\\': return add(t, out, "\\", 1);
	case 'u': return hex_escape(t, out, 4);
	case 'U': return hex_escape(t, out, 8);
	default:
		if ((unsigned char)c < 0x20 || (unsigned char)c >= 0x7f)
			return toml_fail(
			    t, "this escape is not known; write a backslash as `\\\\`");
		return toml_fail(
		    t, "the escape `\\%c` is not known; write a backslash as `\\\\`", c);
	}
}

static size_t count_quotes(const struct toml_parser *t, char quote)
{
	size_t n = 0;
	while (n < 6 && t->p + n < t->end && t->p[n] == quote)
		n++;
	return n;
}

static int single_line(struct toml_parser *t, char quote, struct buf *out)
{
	for (;;) {
		if (t->p == t->end || *t->p == '\n')
			return toml_fail(t, "this string lacks its closing quote");
		unsigned char c = (unsigned char)*t->p++;
		if (c == (unsigned char)quote)
			return 0;
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return toml_fail(
			    t, "a control character in a string; write it as an escape");
		int r =
		    c == '\\' && quote == '"' ? escape(t, false, out) : add(t, out, t->p - 1, 1);
		if (r < 0)
			return r;
	}
}

static int multi_line(struct toml_parser *t, char quote, struct buf *out)
{
	unsigned first = t->line;
	if (at_newline(t)) /* a newline right after the opening is not part of it */
		skip_newline(t);
	while (t->p < t->end) {
		size_t quotes = *t->p == quote ? count_quotes(t, quote) : 0;
		int r;
		if (quotes >= 3) { /* up to two quotes may stand before the closing three */
			size_t inside = MIN(quotes, (size_t)5) - 3;
			r = add(t, out, t->p, inside);
			t->p += inside + 3;
			return r;
		}
		if (at_newline(t)) {
			skip_newline(t);
			r = add(t, out, "\n", 1);
		} else {
			unsigned char c = (unsigned char)*t->p++;
			if ((c < 0x20 && c != '\t') || c == 0x7f)
				return toml_fail(
				    t, "a control character in a string; write it as an escape");
			r = c == '\\' && quote == '"' ? escape(t, true, out)
						      : add(t, out, t->p - 1, 1);
		}
		if (r < 0)
			return r;
	}
	return toml_fail(t, "the string that begins in line %u lacks its closing quotes", first);
}

int toml_string(struct toml_parser *t, bool multi, struct buf *out)
{
	char quote = *t->p;
	size_t quotes = count_quotes(t, quote);
	if (quotes >= 3 && multi) {
		t->p += 3;
		return multi_line(t, quote, out);
	}
	if (quotes >= 3)
		return toml_fail(t, "a key cannot be a multi-line string");
	t->p++;
	return single_line(t, quote, out);
}
