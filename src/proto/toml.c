#include "base/str.h"
#include "proto/toml_parser.h"

int toml_fail(struct toml_parser *t, const char *fmt, ...)
{
	char what[320];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return err_set(t->e, ERR_TOML, "line %u: %s", t->line, what);
}

int toml_no_memory(struct toml_parser *t)
{
	return err_set(t->e, ERR_NO_MEMORY, "no memory to read this TOML document");
}

void toml_blanks(struct toml_parser *t)
{
	while (t->p < t->end && (*t->p == ' ' || *t->p == '\t'))
		t->p++;
}

static bool is_control(unsigned char c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

int toml_line_end(struct toml_parser *t)
{
	toml_blanks(t);
	if (toml_at(t, '#'))
		while (t->p < t->end && *t->p != '\n' &&
		       !(*t->p == '\r' && t->p + 1 < t->end && t->p[1] == '\n')) {
			if (is_control((unsigned char)*t->p))
				return toml_fail(t, "a control character in a comment");
			t->p++;
		}
	if (t->p == t->end)
		return 0;
	if (*t->p == '\r' && t->p + 1 < t->end && t->p[1] == '\n')
		t->p++;
	if (*t->p != '\n')
		return toml_fail(t, "unexpected text after the value or header");
	t->p++;
	t->line++;
	return 0;
}

int toml_blank_lines(struct toml_parser *t)
{
	for (;;) {
		toml_blanks(t);
		if (t->p == t->end || (*t->p != '#' && *t->p != '\n' && *t->p != '\r'))
			return 0;
		int r = toml_line_end(t);
		if (r < 0)
			return r;
	}
}

/* Marks: one integer for each path, so that a lookup needs no second tree. */
int toml_mark(struct toml_parser *t, enum toml_kind kind, unsigned line)
{
	return json_object_set_new(t->marks, t->path, json_integer((json_int_t)line * 8 + kind))
		   ? toml_no_memory(t)
		   : 0;
}

enum toml_kind toml_marked(const struct toml_parser *t, unsigned *ret_line)
{
	json_int_t v = json_integer_value(json_object_get(t->marks, t->path));
	*ret_line = (unsigned)(v / 8);
	return (enum toml_kind)(v % 8);
}

static bool is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

bool toml_path_key(char *path, size_t size, const char *key)
{
	size_t at = strlen(path);
	bool bare = *key;
	for (const char *k = key; *k; k++)
		bare = bare && is_bare(*k);
	if (size - at < 2 * strlen(key) + 4) /* each byte escaped, a dot, two quotes, NUL */
		return false;
	if (at)
		path[at++] = '.';
	if (!bare)
		path[at++] = '"';
	for (const char *k = key; *k; k++) {
		if (*k == '"' || *k == '\\')
			path[at++] = '\\';
		path[at++] = *k;
	}
	if (!bare)
		path[at++] = '"';
	path[at] = 0;
	return true;
}

static int path_add(struct toml_parser *t, const char *key)
{
	return toml_path_key(t->path, sizeof(t->path), key)
		   ? 0
		   : toml_fail(t, "this key is nested too deep or its path too long");
}

static int read_key(struct toml_parser *t, char key[TOML_KEY_MAX + 1])
{
	size_t n = 0;
	if (toml_at(t, '"') || toml_at(t, '\'')) {
		cleanup_buf struct buf b;
		buf_init(&b, TOML_KEY_MAX);
		int r = toml_string(t, false, &b);
		if (r < 0)
			return r;
		n = b.len;
		if (n)
			memcpy(key, b.data, n);
	} else {
		const char *start = t->p;
		while (t->p < t->end && is_bare(*t->p))
			t->p++;
		n = (size_t)(t->p - start);
		if (!n)
			return toml_fail(t, t->p == t->end
						? "the document ends where a key is expected"
						: "a key is expected here");
		if (n > TOML_KEY_MAX)
			return toml_fail(t, "a key longer than %d bytes", TOML_KEY_MAX);
		memcpy(key, start, n);
	}
	key[n] = 0;
	return 0;
}

/* Steps into `key` of *table, making a table of this kind when there is none. */
static int enter(struct toml_parser *t, json_t **table, const char *key, enum toml_kind made)
{
	int r = path_add(t, key);
	if (r < 0)
		return r;
	json_t *child = json_object_get(*table, key);
	if (!child) {
		if (++t->values > TOML_VALUES_MAX)
			return toml_fail(t, "more than %d values", TOML_VALUES_MAX);
		child = json_object();
		if (json_object_set_new(*table, key, child))
			return toml_no_memory(t);
		*table = child;
		return toml_mark(t, made, t->line);
	}
	unsigned line;
	enum toml_kind kind = toml_marked(t, &line);
	bool header = made == TOML_IMPLICIT;
	if (header && kind == TOML_TABLES) {
		size_t last = json_array_size(child) - 1, at = strlen(t->path);
		int n = snprintf(t->path + at, sizeof(t->path) - at, "[%zu]", last);
		if (n < 0 || (size_t)n >= sizeof(t->path) - at)
			return toml_fail(t, "this key's path is too long");
		*table = json_array_get(child, last);
		return 0;
	}
	if (kind != TOML_IMPLICIT && kind != TOML_DOTTED && !(header && kind == TOML_HEADER))
		return toml_fail(
		    t, "%s was defined in line %u and cannot be extended here", t->path, line);
	*table = child;
	return !header && kind == TOML_IMPLICIT ? toml_mark(t, TOML_DOTTED, line) : 0;
}

/* The parts of a dotted key but the last are entered; the last is returned. */
static int read_dotted(
    struct toml_parser *t, json_t **table, enum toml_kind made, char key[TOML_KEY_MAX + 1])
{
	for (unsigned parts = 0;; parts++) {
		if (parts >= TOML_DEPTH_MAX)
			return toml_fail(t, "a key of more than %d parts", TOML_DEPTH_MAX);
		toml_blanks(t);
		int r = read_key(t, key);
		if (r < 0)
			return r;
		toml_blanks(t);
		if (!toml_at(t, '.'))
			return 0;
		t->p++;
		r = enter(t, table, key, made);
		if (r < 0)
			return r;
	}
}

int toml_key_value(struct toml_parser *t, json_t *table)
{
	size_t base = strlen(t->path);
	char key[TOML_KEY_MAX + 1] = "";
	unsigned line = t->line;
	int r = read_dotted(t, &table, TOML_DOTTED, key);
	if (r < 0)
		return r;
	if (!toml_at(t, '='))
		return toml_fail(t, "`=` is expected after the key %s", key);
	t->p++;
	r = path_add(t, key);
	if (r < 0)
		return r;
	if (json_object_get(table, key)) {
		unsigned first;
		toml_marked(t, &first);
		return toml_fail(t, "%s is defined twice (first in line %u)", t->path, first);
	}
	toml_blanks(t);
	cleanup_json json_t *value = NULL;
	r = toml_value(t, &value);
	if (r < 0)
		return r;
	bool closed = json_is_object(value) || json_is_array(value);
	r = toml_mark(t, closed ? TOML_INLINE : TOML_VALUE, line);
	if (r == 0 && json_object_set(table, key, value))
		r = toml_no_memory(t);
	t->path[base] = 0;
	return r;
}

/* [[a.b]]: a new element of the array at key. */
static int open_element(struct toml_parser *t, json_t **table, const char *key)
{
	json_t *array = json_object_get(*table, key), *element = json_object();
	unsigned line;
	if (array && toml_marked(t, &line) != TOML_TABLES) {
		json_decref(element);
		return toml_fail(
		    t, "%s was defined in line %u and is not an array of tables", t->path, line);
	}
	int r = array ? 0 : toml_mark(t, TOML_TABLES, t->line);
	if (!array && (r < 0 || json_object_set_new(*table, key, array = json_array()))) {
		json_decref(element);
		return r < 0 ? r : toml_no_memory(t);
	}
	if (json_array_append_new(array, element))
		return toml_no_memory(t);
	size_t at = strlen(t->path);
	int n = snprintf(t->path + at, sizeof(t->path) - at, "[%zu]", json_array_size(array) - 1);
	if (n < 0 || (size_t)n >= sizeof(t->path) - at)
		return toml_fail(t, "this key's path is too long");
	*table = element;
	return toml_mark(t, TOML_HEADER, t->line);
}

static int open_table(struct toml_parser *t, json_t **table, const char *key)
{
	json_t *there = json_object_get(*table, key);
	if (!there) {
		json_t *made = json_object();
		if (json_object_set_new(*table, key, made))
			return toml_no_memory(t);
		*table = made;
		return toml_mark(t, TOML_HEADER, t->line);
	}
	unsigned line;
	if (toml_marked(t, &line) != TOML_IMPLICIT)
		return toml_fail(t, "%s is defined twice (first in line %u)", t->path, line);
	*table = there;
	return toml_mark(t, TOML_HEADER, t->line);
}

static int read_header(struct toml_parser *t, json_t *root, json_t **table)
{
	t->p++;
	bool array = toml_at(t, '[');
	if (array)
		t->p++;
	*table = root;
	t->path[0] = 0;
	char key[TOML_KEY_MAX + 1] = "";
	int r = read_dotted(t, table, TOML_IMPLICIT, key);
	if (r < 0)
		return r;
	if (!toml_at(t, ']') || (array && (t->p + 1 >= t->end || t->p[1] != ']')))
		return toml_fail(t, "this table header lacks its closing `%s`", array ? "]]" : "]");
	t->p += array ? 2 : 1;
	if (++t->values > TOML_VALUES_MAX)
		return toml_fail(t, "more than %d values", TOML_VALUES_MAX);
	r = path_add(t, key);
	if (r < 0)
		return r;
	return array ? open_element(t, table, key) : open_table(t, table, key);
}

static int read_document(struct toml_parser *t, json_t *root)
{
	json_t *table = root;
	for (;;) {
		int r = toml_blank_lines(t);
		if (r < 0 || t->p == t->end)
			return r;
		r = *t->p == '[' ? read_header(t, root, &table) : toml_key_value(t, table);
		if (r == 0)
			r = toml_line_end(t);
		if (r < 0)
			return r;
	}
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. Returns the line of the first
 * fault, 0 if none. */
static unsigned utf8_fault(const unsigned char *s, size_t n)
{
	unsigned line = 1;
	for (size_t i = 0; i < n;) {
		unsigned char c = s[i++];
		line += c == '\n';
		if (c < 0x80)
			continue;
		unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
		if (c < 0xc2 || c > 0xf4 || n - i < more)
			return line;
		unsigned char d = s[i], low = 0x80, high = 0xbf;
		if (c == 0xe0)
			low = 0xa0;
		else if (c == 0xed)
			high = 0x9f;
		else if (c == 0xf0)
			low = 0x90;
		else if (c == 0xf4)
			high = 0x8f;
		if (d < low || d > high)
			return line;
		for (unsigned k = 1; k < more; k++)
			if ((s[i + k] & 0xc0) != 0x80)
				return line;
		i += more;
	}
	return 0;
}

int toml_parse(const char *text, size_t len, struct toml *ret, struct err *e)
{
	if (len > TOML_BYTES_MAX)
		return err_set(
		    e, ERR_TOO_LARGE, "this TOML document is larger than %d bytes", TOML_BYTES_MAX);
	unsigned fault = utf8_fault((const unsigned char *)text, len);
	if (fault)
		return err_set(e, ERR_TOML, "line %u: not valid UTF-8", fault);
	struct toml_parser t = { .p = text, .end = text + len, .line = 1, .e = e };
	if (len >= 3 &&
	    !memcmp(text, "\xef\xbb\xbf", 3)) /* some editors put a byte order mark first */
		t.p += 3;
	struct toml out = { .root = json_object(), .marks = json_object() };
	t.marks = out.marks;
	int r = out.root && out.marks ? read_document(&t, out.root) : toml_no_memory(&t);
	if (r < 0) {
		toml_done(&out);
		return r;
	}
	*ret = out;
	return 0;
}

void toml_done(struct toml *t)
{
	json_decref(t->root);
	json_decref(t->marks);
	*t = (struct toml){ 0 };
}

unsigned toml_line(const struct toml *t, const char *path)
{
	return (unsigned)(json_integer_value(json_object_get(t->marks, path)) / 8);
}
