/* One table of a TOML document, read key by key. Unknown keys are refused with the nearest known
 * one, and every error names the line. The platform's file and the app's file are both read through
 * this. */
#pragma once
#include "proto/toml.h"

struct conf {
	const struct toml *doc;
	const json_t *o;          /* NULL: the table is absent, every key is too */
	char path[TOML_PATH_MAX]; /* "" at the top */
};

void conf_root(struct conf *c, const struct toml *doc);

/* The table at a key; absent leaves ret->o NULL. */
int conf_table(const struct conf *c, const char *key, struct conf *ret, struct err *e) must_check;
/* The i-th table of an array of tables; a single table counts as an array of one. *ret_n 0: absent.
 */
int conf_tables(
    const struct conf *c, const char *key, size_t max, size_t *ret_n, struct err *e) must_check;
void conf_table_at(const struct conf *c, const char *key, size_t i, struct conf *ret);

/* Every key must be one of the space-separated `known`; else ERR_UNKNOWN_KEY with a suggestion. */
int conf_known(const struct conf *c, const char *known, struct err *e) must_check;
/* None of these may be there: ERR_UNSUPPORTED. */
int conf_unsupported(const struct conf *c, const char *keys, struct err *e) must_check;

/* Absent leaves *ret alone. Strings belong to the document. */
bool conf_has(const struct conf *c, const char *key);
int conf_str(const struct conf *c, const char *key, const char **ret, struct err *e) must_check;
int conf_bool(const struct conf *c, const char *key, bool *ret, struct err *e) must_check;
int conf_int(const struct conf *c, const char *key, int64_t min, int64_t max, int64_t *ret,
    struct err *e) must_check;
/* A string that is one of the space-separated words; *ret is its index. */
int conf_word(const struct conf *c, const char *key, const char *words, unsigned *ret,
    struct err *e) must_check;
/* An array of at most max strings; *ret is borrowed, NULL if absent. */
int conf_strings(const struct conf *c, const char *key, size_t max, const json_t **ret,
    struct err *e) must_check;

/* "line 12: http_service.internal_port <sentence>"; key NULL: the table itself. Returns the code's
 * errno. */
int conf_fail(const struct conf *c, const char *key, struct err *e, enum err_code code,
    const char *fmt, ...) printf_like(5, 6);
