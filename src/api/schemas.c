#include "api/schemas.h"
#include "api/schema_config.h"
#include "base/str.h"

#define FIELDS(...) ((const struct schema_field[]){ __VA_ARGS__, { NULL, NULL, 0 } })

static const struct schema any = { .kind = SCHEMA_ANY };
static const struct schema boolean = { .kind = SCHEMA_BOOL };
static const struct schema text = { .kind = SCHEMA_STRING, .max = 4096 };
static const struct schema word = { .kind = SCHEMA_STRING, .max = 256 };

/* Empty is the same as absent: clients of the Machines API leave fields so. */
static bool is_name_or_empty(const char *s)
{
	return !*s || is_app_name(s);
}

static const struct schema name = { .kind = SCHEMA_STRING,
	.max = 63,
	.ok = is_name_or_empty,
	.must = "must be lower-case letters, digits and single dashes, at most 63" };

/* ---- apps ---- */

const struct schema schema_app_create = { .kind = SCHEMA_OBJECT,
	.fields =
	    FIELDS({ "name", &name, 0 }, { "app_name", &name, 0 }, /* flyctl's documentation */
		{ "org_slug", &name, 0 }, { "network", &name, 0 },
		{ "enable_subdomains", &boolean, FIELD_IDLE }, { "app_role_id", &word, FIELD_IDLE },
		{ "preferred_region", &word, FIELD_IDLE }) };

/* ---- machines ---- */

static const struct schema lease_ttl = { .kind = SCHEMA_INT, .min = 0, .max = 24 * 3600 };

#define MACHINE_FIELDS                                                                             \
	{ "config", &schema_machine_config, FIELD_REQUIRED }, { "name", &name, 0 },                \
	    { "region", &name, 0 }, { "skip_launch", &boolean, 0 },                                \
	    { "lease_ttl", &lease_ttl, 0 },                                                        \
	    { "skip_service_registration", &boolean, FIELD_LATER },                                \
	    { "skip_secrets", &boolean, FIELD_IDLE }, { "min_secrets_version", &any, FIELD_IDLE }, \
	{                                                                                          \
		"lsvd", &any, FIELD_LATER                                                          \
	}

const struct schema schema_machine_create = { .kind = SCHEMA_OBJECT,
	.fields = FIELDS(MACHINE_FIELDS) };
const struct schema schema_machine_update = { .kind = SCHEMA_OBJECT,
	.fields = FIELDS(MACHINE_FIELDS, { "current_version", &word, 0 }) };

static const struct schema stop_signal = { .kind = SCHEMA_STRING,
	.max = 16,
	.one_of = (const char *const[]){
	    "", "SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGTERM", NULL } };
static const struct schema stop_timeout = { .kind = SCHEMA_DURATION, .max = 300 * 1000 };
const struct schema schema_stop = { .kind = SCHEMA_OBJECT,
	.fields = FIELDS({ "signal", &stop_signal, 0 }, { "timeout", &stop_timeout, 0 }) };

/* A number must be one of these too: handler's task, by the same table. */
static const struct schema any_signal = { .kind = SCHEMA_STRING,
	.max = 16,
	.also = ALSO_INT,
	.one_of = (const char *const[]){ "SIGABRT", "SIGALRM", "SIGFPE", "SIGHUP", "SIGILL",
	    "SIGINT", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSEGV", "SIGTERM", "SIGTRAP", "SIGUSR1",
	    "SIGUSR2", NULL } };
const struct schema schema_signal = { .kind = SCHEMA_OBJECT,
	.fields = FIELDS({ "signal", &any_signal, FIELD_REQUIRED }) };

static const struct schema argument = { .kind = SCHEMA_STRING, .max = 16 * 1024 };
static const struct schema command = { .kind = SCHEMA_ARRAY, .max = 256, .item = &argument };
static const struct schema stdin_text = { .kind = SCHEMA_STRING, .max = 128 * 1024 };
static const struct schema exec_timeout = { .kind = SCHEMA_INT, .min = 0, .max = 60 };
const struct schema schema_exec = { .kind = SCHEMA_OBJECT,
	.fields = FIELDS({ "cmd", &argument, 0 }, { "command", &command, 0 },
	    { "stdin", &stdin_text, 0 }, { "timeout", &exec_timeout, 0 },
	    { "container", &any, FIELD_LATER }, { "machine", &any, FIELD_LATER }) };

static const struct schema ttl = { .kind = SCHEMA_INT, .min = 1, .max = 24 * 3600 };
static const struct schema description = { .kind = SCHEMA_STRING, .max = 200 };
const struct schema schema_lease = { .kind = SCHEMA_OBJECT,
	.fields = FIELDS({ "ttl", &ttl, 0 }, { "description", &description, 0 }) };

/* null takes a key away, so the map itself may hold it: schema_metadata_map would not. */
static const struct schema metadata_item = { .kind = SCHEMA_STRING, .max = 4096 };
static const struct schema metadata = { .kind = SCHEMA_MAP,
	.max = 64,
	.item = &metadata_item,
	.ok = is_metadata_key,
	.must = "must be 1 to 64 letters, digits, dots, dashes or underscores" };
const struct schema schema_metadata = { .kind = SCHEMA_OBJECT,
	.fields = FIELDS({ "metadata", &metadata, FIELD_REQUIRED }, { "machine_version", &word, 0 },
	    { "updated_at", &word, 0 }) };
const struct schema schema_metadata_value = { .kind = SCHEMA_OBJECT,
	.fields = FIELDS({ "value", &metadata_item, FIELD_REQUIRED }, { "updated_at", &word, 0 }) };

/* ---- Ward's own ---- */

static const struct schema strategy = { .kind = SCHEMA_STRING,
	.max = 16,
	.one_of = (const char *const[]){ "rolling", "immediate", NULL } };
static const struct schema wait_timeout = { .kind = SCHEMA_INT, .min = 1000, .max = 3600 * 1000 };
static const struct schema count = { .kind = SCHEMA_INT, .min = 0, .max = 64 };
static const struct schema group_name = { .kind = SCHEMA_STRING,
	.min = 1,
	.max = 63,
	.ok = is_app_name,
	.must = "must be lower-case letters, digits and single dashes, at most 63" };
static const struct schema group = { .kind = SCHEMA_OBJECT,
	.fields = FIELDS({ "name", &group_name, FIELD_REQUIRED }, { "count", &count, 0 },
	    { "config", &schema_machine_config, FIELD_REQUIRED }) };
static const struct schema groups = { .kind = SCHEMA_ARRAY, .min = 1, .max = 16, .item = &group };
const struct schema schema_deploy = { .kind = SCHEMA_OBJECT,
	.fields = FIELDS({ "strategy", &strategy, 0 }, { "wait_timeout_ms", &wait_timeout, 0 },
	    { "message", &text, 0 }, { "groups", &groups, FIELD_REQUIRED }) };

static const struct schema version = { .kind = SCHEMA_INT, .min = 1, .max = 99999999 };
const struct schema schema_rollback = { .kind = SCHEMA_OBJECT,
	.fields = FIELDS({ "version", &version, 0 }) };
const struct schema schema_scale = { .kind = SCHEMA_OBJECT,
	.fields = FIELDS({ "group", &group_name, 0 }, { "count", &count, FIELD_REQUIRED }) };
