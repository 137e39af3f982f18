/* The units and small grammars of fly.toml: Go durations, sizes of memory, command lines. */
#pragma once
#include "proto/conf.h"

/* "1m21s", "500ms", "1.5h": the whole string, no sign; at most 30 days. */
bool fly_duration_ms(const char *s, int64_t *ret_ms);
/* The shortest exact form: "90s", "1500ms". */
void fly_duration_format(char dst[24], int64_t ms);
/* "512", "512mb", "2gb", "2GiB": in MiB. */
bool fly_memory_mb(const char *s, int64_t *ret_mb);

/* The value at key: a duration string, or a bare number of unit_ms each. Absent leaves *ret_ms
 * alone. */
int conf_duration(const struct conf *c, const char *key, int64_t unit_ms, int64_t *ret_ms,
    struct err *e) must_check;
int conf_memory(const struct conf *c, const char *key, int64_t min, int64_t max, int64_t *ret_mb,
    struct err *e) must_check;
/* A command: a string split as a shell would (quotes and backslashes, nothing else), or an array of
 * strings. *ret is new, NULL if absent. */
int conf_command(const struct conf *c, const char *key, json_t **ret, struct err *e) must_check;
