/* What a machine's config may hold of secrets (environment, files) is sealed before it is written
 * anywhere, and opened again for a reader: purpose "app-env", id = the app's. */
#pragma once
#include "base/json.h"

/* Replaces config.env by {"sealed": base64} and each file's raw_value by the same form, in place.
 */
int config_seal(const char *run, const char *app_id, json_t *config, struct err *e) must_check;

/* A deep copy with both opened. A value that cannot be opened is left out; *ret_left_out counts. */
json_t *config_unseal(
    const char *run, const char *app_id, const json_t *config, unsigned *ret_left_out);

/* A deep copy without both. */
json_t *config_without_secrets(const json_t *config);
