#include "cli/out.h"
#include "base/str.h"

static bool colour_wanted, progress_open;

void out_init(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	colour_wanted = !(no && *no) && !(term && streq(term, "dumb"));
}

bool out_is_terminal(void)
{
	return isatty(STDERR_FILENO);
}

bool out_colour(FILE *f)
{
	return colour_wanted && isatty(fileno(f));
}

void out_json(const json_t *j)
{
	cleanup_free char *s = json_dumps(j, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_SORT_KEYS);
	if (s)
		puts(s);
}

static void end_progress(void)
{
	if (progress_open)
		fputs("\r\033[K", stderr);
	progress_open = false;
}

void out_say(const char *fmt, ...)
{
	va_list ap;
	end_progress();
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void out_progress(const char *fmt, ...)
{
	if (!out_is_terminal())
		return;
	va_list ap;
	end_progress();
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fflush(stderr);
	progress_open = true;
}

void out_error(const struct err *e)
{
	end_progress();
	bool colour = out_colour(stderr);
	const char *next = err_next_step(e);
	fputs(colour ? "\033[1;31merror:\033[0m " : "error: ", stderr);
	out_text(stderr, e->text, strlen(e->text));
	fprintf(stderr, " [%s]\n", err_code_name(e->code));
	if (next && *next) {
		fputs(colour ? "\033[1mnext:\033[0m " : "next: ", stderr);
		out_text(stderr, next, strlen(next));
		fputc('\n', stderr);
	}
}

/* The length of a colour sequence (ESC [ digits and semicolons m) at s, 0 if it is none. */
static size_t colour_sequence(const char *s, size_t n)
{
	if (n < 3 || s[0] != '\033' || s[1] != '[')
		return 0;
	for (size_t i = 2; i < n && i < 20; i++) {
		if (s[i] == 'm')
			return i + 1;
		if (!((s[i] >= '0' && s[i] <= '9') || s[i] == ';'))
			return 0;
	}
	return 0;
}

void out_text(FILE *f, const char *s, size_t n)
{
	if (!isatty(fileno(f))) {
		fwrite(s, 1, n, f);
		return;
	}
	bool coloured = false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		size_t k = colour_sequence(s + i, n - i);
		if (k) {
			if (colour_wanted)
				fwrite(s + i, 1, k, f);
			coloured = true;
			i += k - 1;
		} else {
			fputc((c < 0x20 && c != '\t') || c == 0x7f ? '?' : c, f);
		}
	}
	if (coloured && colour_wanted)
		fputs("\033[0m", f);
}

/* ---- tables ---- */

void table_add(struct table *t, const char *const *cells, size_t n)
{
	if (t->rows == TABLE_ROWS_MAX || n > TABLE_COLUMNS_MAX)
		return;
	char **more = realloc(t->cells, (t->rows + 1) * TABLE_COLUMNS_MAX * sizeof(*more));
	if (!more)
		return;
	t->cells = more;
	char **row = more + t->rows++ * TABLE_COLUMNS_MAX;
	for (size_t i = 0; i < TABLE_COLUMNS_MAX; i++)
		row[i] = i < n && *cells[i] ? strdup(cells[i]) : NULL;
	t->columns = MAX(t->columns, n);
}

void table_print(struct table *t)
{
	size_t width[TABLE_COLUMNS_MAX] = { 0 };
	bool bold = out_colour(stdout);
	for (size_t r = 0; r < t->rows; r++)
		for (size_t k = 0; k < t->columns; k++) {
			const char *s = t->cells[r * TABLE_COLUMNS_MAX + k];
			width[k] = MAX(width[k], strlen(s ? s : "-"));
		}
	for (size_t r = 0; r < t->rows; r++) {
		if (r == 0 && bold)
			fputs("\033[1m", stdout);
		for (size_t k = 0; k < t->columns; k++) {
			const char *s = t->cells[r * TABLE_COLUMNS_MAX + k];
			s = s ? s : "-";
			out_text(stdout, s, strlen(s));
			for (size_t pad = strlen(s); k + 1 < t->columns && pad < width[k] + 2;
			     pad++)
				fputc(' ', stdout);
		}
		fputs(r == 0 && bold ? "\033[0m\n" : "\n", stdout);
	}
	for (size_t i = 0; i < t->rows * TABLE_COLUMNS_MAX; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){ 0 };
}

const char *text_of(const json_t *o, const char *key)
{
	static char ring[8][40];
	static unsigned at;
	const json_t *v = json_object_get(o, key);
	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_boolean(v))
		return json_is_true(v) ? "yes" : "no";
	char *s = ring[at++ % countof(ring)];
	*s = 0;
	if (json_is_integer(v))
		snprintf(s, sizeof(ring[0]), "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		snprintf(s, sizeof(ring[0]), "%.2f", json_real_value(v));
	return s;
}
