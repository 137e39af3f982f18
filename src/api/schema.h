/* What a request's body must look like, as a description, and the one function that checks a body
 * against it before any work is done. */
#pragma once
#include "base/json.h"

enum schema_kind {
	SCHEMA_STRING, /* min..max bytes */
	SCHEMA_INT,    /* min..max */
	SCHEMA_BOOL,
	SCHEMA_DURATION, /* "10s", or an integer of nanoseconds; min..max milliseconds */
	SCHEMA_OBJECT,   /* fields */
	SCHEMA_ARRAY,    /* min..max items */
	SCHEMA_MAP,      /* min..max members, all of the kind `item` */
	SCHEMA_ANY,
};

enum schema_also { ALSO_BOOL = 1, ALSO_INT = 2, ALSO_STRING = 4 }; /* another type is fine too */

struct schema_field;
struct schema {
	enum schema_kind kind;
	int64_t min, max;
	unsigned also;
	const char *const *one_of;         /* STRING: ends with NULL */
	bool (*ok)(const char *text);      /* STRING: its text; MAP: each key */
	const char *must;                  /* "must ..." when not ok */
	const struct schema_field *fields; /* ends with a NULL name */
	const struct schema *item;
};

enum schema_flags {
	FIELD_REQUIRED = 1,
	FIELD_LATER = 2, /* not built yet: refused unless empty, zero or false */
	FIELD_IDLE = 4,  /* kept and shown again, but nothing acts on it yet: warned of */
};
struct schema_field {
	const char *name;
	const struct schema *is;
	unsigned flags;
};

enum { SCHEMA_WARNINGS_MAX = 8, SCHEMA_PATH_MAX = 120 };
struct schema_warnings {
	size_t count; /* may be more than are kept */
	char text[SCHEMA_WARNINGS_MAX][SCHEMA_PATH_MAX + 80];
};

/* closed: an unknown field is an error (ERR_UNKNOWN_KEY, with a suggestion); else a warning. null
 * counts as absent, except in maps. w may be NULL when closed. */
int schema_check(const struct schema *s, const json_t *value, bool closed,
    struct schema_warnings *w, struct err *e) must_check;
