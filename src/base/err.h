/* Errors: a fallible function returns 0 or a negative errno, and fills the caller's struct err with
 * a stable code and one sentence made where the fact is known. The table of codes is errors.def. */
#pragma once
#include <errno.h>
#include <stdarg.h>

enum err_code {
	ERR_NONE = 0,
#define X(name, code, num, status, next) name,
#include "base/errors.def"
#undef X
	ERR_CODE_MAX
};

struct err {
	enum err_code code;
	char text[400]; /* one sentence, no newline, ends without a full stop */
	char next[240]; /* the next command to run; empty: the table's */
};

#define must_check             __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

/* Fills *e (which may be NULL) and returns the code's negative errno: `return err_set(e,
 * ERR_INVALID, "...")`. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...) printf_like(3, 4);

/* The same for a failed system call: appends strerror(num) and returns -num. */
int err_sys(struct err *e, int num, const char *fmt, ...) printf_like(3, 4);

/* Puts "prefix: " before the sentence already in *e. Returns ret, so that it can end a return line.
 */
int err_prefix(struct err *e, int ret, const char *fmt, ...) printf_like(3, 4);

/* Replaces the table's next step with a better one for this case. */
void err_next(struct err *e, const char *fmt, ...) printf_like(2, 3);

const char *err_code_name(enum err_code code);  /* "kebab-case" */
int err_code_status(enum err_code code);        /* HTTP status */
const char *err_next_step(const struct err *e); /* e->next, or the table's */
enum err_code err_code_find(const char *name);  /* ERR_NONE if unknown */

#if defined(__clang_analyzer__) && !defined(ERR_IMPLEMENTATION)
/* The analyser cannot see into err.c that these always return a negative number. */
#define err_set(...) ((void)(err_set)(__VA_ARGS__), -EINVAL)
#define err_sys(...) ((void)(err_sys)(__VA_ARGS__), -EIO)
#endif
