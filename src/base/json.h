/* JSON by jansson, strict: duplicate keys, NUL inside strings and trailing bytes are errors. The
 * getters name the key in their error; `path` is the object's place in the document
 * ("config.guest"), "" at the top. */
#pragma once
#include "base/buf.h"
#include <jansson.h>

static inline void cleanup_json_(json_t **j)
{
	json_decref(*j);
}
#define cleanup_json __attribute__((cleanup(cleanup_json_)))

int json_parse(
    const char *text, size_t len, json_t **ret, struct err *e) must_check; /* caller decrefs */
int json_read_file(int dirfd, const char *name, size_t max, json_t **ret, struct err *e) must_check;
char *json_format(const json_t *j); /* compact, keys sorted; caller frees; NULL on no memory */
int json_write_file(
    int dirfd, const char *name, const json_t *j, mode_t mode, struct err *e) must_check;

/* Are there more than `max` objects and lists inside one another? The parser alone allows 2048, and
 * what is parsed and kept inside a larger object must still be readable there. */
bool json_is_deeper(const json_t *j, unsigned max);

/* Optional members: absent or null leaves *ret as it is and returns 0; present with a wrong type or
 * out of range is ERR_INVALID. need_*: absent is an error too. Strings stay owned by the object. */
int json_opt_str(
    const json_t *o, const char *path, const char *key, const char **ret, struct err *e) must_check;
int json_opt_int(const json_t *o, const char *path, const char *key, int64_t min, int64_t max,
    int64_t *ret, struct err *e) must_check;
int json_opt_bool(
    const json_t *o, const char *path, const char *key, bool *ret, struct err *e) must_check;
int json_opt_object(
    const json_t *o, const char *path, const char *key, json_t **ret, struct err *e) must_check;
int json_opt_array(
    const json_t *o, const char *path, const char *key, json_t **ret, struct err *e) must_check;
int json_need_str(
    const json_t *o, const char *path, const char *key, const char **ret, struct err *e) must_check;
int json_need_int(const json_t *o, const char *path, const char *key, int64_t min, int64_t max,
    int64_t *ret, struct err *e) must_check;
