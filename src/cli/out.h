/* What people see: data on stdout, all else on stderr; colours only on a terminal. */
#pragma once
#include "base/json.h"

void out_init(void);
bool out_is_terminal(void); /* stderr: progress may be drawn over */
bool out_colour(FILE *f);

void out_json(const json_t *j);                       /* to stdout, indented */
void out_say(const char *fmt, ...) printf_like(1, 2); /* a line on stderr */
void out_progress(const char *fmt, ...)
    printf_like(1, 2); /* a line on stderr that the next one replaces; on terminals alone */
void out_error(const struct err *e); /* "error: sentence [code]", "next: …" */
/* Text from elsewhere: on a terminal, control characters other than tabs and colours become '?'. */
void out_text(FILE *f, const char *s, size_t n);

enum { TABLE_COLUMNS_MAX = 8, TABLE_ROWS_MAX = 10000 };
struct table {
	size_t columns, rows;
	char **cells;
};
void table_add(struct table *t, const char *const *cells, size_t n); /* "" is shown as "-" */
#define TABLE_CELLS(...)                                                                           \
	(const char *const[]){ __VA_ARGS__ }, countof(((const char *const[]){ __VA_ARGS__ }))
#define table_row(t, ...)  table_add(t, TABLE_CELLS(__VA_ARGS__))
#define table_head(t, ...) (*(t) = (struct table){ 0 }, table_row(t, __VA_ARGS__))
void table_print(struct table *t); /* and frees */

/* A member's text whatever its type, "" if absent; lives until the eighth next call. */
const char *text_of(const json_t *o, const char *key);
