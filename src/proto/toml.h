/* TOML 1.0 (toml.io/en/v1.0.0), read strictly into a jansson tree that also knows on which line
 * each key stands. Bounded in bytes, depth, key length and number of values. Two things the
 * specification allows are refused, because none of Ward's files uses them and JSON cannot hold
 * them: dates and times, and inf and nan; and so is U+0000 inside strings. */
#pragma once
#include "base/json.h"

enum {
	TOML_BYTES_MAX = 1 << 20,
	TOML_DEPTH_MAX = 32,
	TOML_KEY_MAX = 128,
	TOML_PATH_MAX = 512,
	TOML_VALUES_MAX = 20000
};

struct toml {
	json_t *root;  /* an object */
	json_t *marks; /* path -> line and kind, for toml_line */
};

/* Errors are ERR_TOML (or ERR_UNSUPPORTED for what is refused above) and begin with "line N: ". */
int toml_parse(const char *text, size_t len, struct toml *ret, struct err *e) must_check;
void toml_done(struct toml *t); /* all zero is fine */

/* The line of a key, 0 if it is not there. Paths: "http_service.checks[0].path"; keys that are not
 * bare are quoted ("env.\"a b\""). For a table it is the line of its header or of the first key
 * that made it. */
unsigned toml_line(const struct toml *t, const char *path);

/* Appends a key to a path in that form. False when it does not fit. */
bool toml_path_key(char *path, size_t size, const char *key);

static inline void cleanup_toml_(struct toml *t)
{
	toml_done(t);
}
#define cleanup_toml __attribute__((cleanup(cleanup_toml_)))
