/* The bodies of all operations. One description of each, from which the validation comes; the same
 * is said to the outside by docs/openapi.json, and tests hold the two against each other. */
#pragma once
#include "api/schema.h"

extern const struct schema schema_app_create;
extern const struct schema schema_machine_create;
extern const struct schema schema_machine_update;
extern const struct schema schema_stop;
extern const struct schema schema_signal;
extern const struct schema schema_exec;
extern const struct schema schema_lease;
extern const struct schema schema_metadata;
extern const struct schema schema_metadata_value;
extern const struct schema schema_deploy;
extern const struct schema schema_rollback;
extern const struct schema schema_scale;

bool is_env_name(const char *s);     /* [A-Za-z_][A-Za-z0-9_]*, not FLY_... */
bool is_metadata_key(const char *s); /* 1..64 of [A-Za-z0-9_.-] */
bool is_app_name(const char *s);     /* str_is_name, at most 63 */
