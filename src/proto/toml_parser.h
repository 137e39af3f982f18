/* The two halves of the TOML parser: documents, tables and keys (toml.c), and values (toml_value.c,
 * toml_string.c). */
#pragma once
#include "proto/toml.h"

enum toml_kind {
	TOML_VALUE = 1,
	TOML_IMPLICIT, /* a table that a header only passed through */
	TOML_HEADER,   /* a table with a [header] of its own */
	TOML_DOTTED,   /* a table made by dotted keys */
	TOML_INLINE,   /* { } and [ ]: closed for good */
	TOML_TABLES,   /* [[array of tables]] */
};

struct toml_parser {
	const char *p, *end;
	unsigned line, depth, values;
	json_t *marks;
	char path[TOML_PATH_MAX]; /* of what is being read */
	struct err *e;
};

int toml_fail(struct toml_parser *t, const char *fmt, ...) printf_like(2, 3);
int toml_no_memory(struct toml_parser *t);

void toml_blanks(struct toml_parser *t); /* spaces and tabs */
/* An optional comment and the end of the line (or of the document). */
int toml_line_end(struct toml_parser *t) must_check;
/* Blanks, comments and newlines, inside arrays. */
int toml_blank_lines(struct toml_parser *t) must_check;
static inline bool toml_at(const struct toml_parser *t, char c)
{
	return t->p < t->end && *t->p == c;
}

int toml_mark(struct toml_parser *t, enum toml_kind kind, unsigned line) must_check;
enum toml_kind toml_marked(const struct toml_parser *t, unsigned *ret_line);

/* "key.key = value" into table, whose path is t->path. */
int toml_key_value(struct toml_parser *t, json_t *table) must_check;
int toml_value(struct toml_parser *t, json_t **ret) must_check;
/* A string at its opening quote. multi: three quotes are allowed. */
int toml_string(struct toml_parser *t, bool multi, struct buf *out) must_check;
