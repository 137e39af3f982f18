/* Durations as the Machines API and fly.toml write them: Go's "1h2m3.5s", or whole nanoseconds. */
#pragma once
#include "base/json.h"

/* Whole string, units h m s ms us ns, each number may have a fraction, no sign. At most 1000 days.
 */
bool duration_parse_ms(const char *s, int64_t *ret_ms);

/* An optional member that is a duration string or nanoseconds; absent leaves *ret_ms as it is. */
int duration_opt_ms(
    const json_t *o, const char *path, const char *key, int64_t *ret_ms, struct err *e) must_check;
