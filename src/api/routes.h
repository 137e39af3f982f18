/* The table of operations, and how a path finds its row. */
#pragma once
#include "api/api.h"

extern const struct route routes[];
extern const size_t routes_count;

/* True when some row has this path. *ret: the row that has the method too, or NULL; then allow
 * lists the methods there are ("GET, POST"). The braces' segments are copied into param in order.
 */
bool route_find(const char *method, const char *path, const struct route **ret,
    char param[CALL_PARAMS_MAX][CALL_PARAM_SIZE], char allow[64]);
