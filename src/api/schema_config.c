/* A machine's config, as the Machines API has it. What Ward has not built is refused where leaving
 * it out would surprise (a volume that is not there), and warned of where it would not. */
#include "api/schema_config.h"
#include "api/schemas.h"
#include "base/str.h"
#include <ctype.h>

bool is_env_name(const char *s)
{
	if (!isalpha((unsigned char)s[0]) && s[0] != '_')
		return false;
	for (const char *p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '_')
			return false;
	return strlen(s) <= 256;
}

bool is_metadata_key(const char *s)
{
	size_t n = strlen(s);
	for (const char *p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_.-", *p))
			return false;
	return n >= 1 && n <= 64;
}

bool is_app_name(const char *s)
{
	return str_is_name(s, 63);
}

static bool is_absolute(const char *s)
{
	return s[0] == '/' && !strstr(s, "/../") && !str_ends(s, "/..");
}

static bool is_path(const char *s)
{
	return s[0] == '/';
}

static bool is_base64(const char *s)
{
	size_t n = strlen(s), pad = 0;
	if (n % 4)
		return false;
	for (const char *p = s; *p; p++) {
		if (*p == '=')
			pad++;
		else if (pad || (!isalnum((unsigned char)*p) && *p != '+' && *p != '/'))
			return false;
	}
	return pad <= 2;
}

static bool is_image(const char *s)
{
	for (const char *p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-/:@+", *p))
			return false;
	return s[0] != '-' && s[0] != '/';
}

#define STRING(max_)                                                                               \
	{                                                                                          \
		.kind = SCHEMA_STRING, .min = 0, .max = (max_)                                     \
	}
#define INT(min_, max_)                                                                            \
	{                                                                                          \
		.kind = SCHEMA_INT, .min = (min_), .max = (max_)                                   \
	}
#define ONE_OF(...)                                                                                \
	{                                                                                          \
		.kind = SCHEMA_STRING, .max = 64, .one_of = (const char *const[])                  \
		{                                                                                  \
			__VA_ARGS__, NULL                                                          \
		}                                                                                  \
	}
#define ARRAY(of, max_)                                                                            \
	{                                                                                          \
		.kind = SCHEMA_ARRAY, .max = (max_), .item = (of)                                  \
	}
#define MAP(of, max_)                                                                              \
	{                                                                                          \
		.kind = SCHEMA_MAP, .max = (max_), .item = (of)                                    \
	}
#define OBJECT(fields_)                                                                            \
	{                                                                                          \
		.kind = SCHEMA_OBJECT, .fields = (fields_)                                         \
	}
#define DURATION(max_)                                                                             \
	{                                                                                          \
		.kind = SCHEMA_DURATION, .max = (max_)                                             \
	}

static const struct schema any = { .kind = SCHEMA_ANY };
static const struct schema boolean = { .kind = SCHEMA_BOOL };
static const struct schema text = STRING(4096), word = STRING(256), port = INT(1, 65535);
static const struct schema words = ARRAY(&text, 256);
static const struct schema duration = DURATION(24 * 3600 * 1000LL);
static const struct schema signal_name =
    ONE_OF("SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGSTOP");

/* ---- services and checks ---- */

static const struct schema header = OBJECT(((const struct schema_field[]){
    { "name", &word, FIELD_REQUIRED },
    { "values", &words, 0 },
    { NULL, NULL, 0 },
}));
static const struct schema headers = ARRAY(&header, 32);
static const struct schema check_type = ONE_OF("tcp", "http"),
			   check_kind = ONE_OF("", "informational", "readiness"),
			   check_protocol = ONE_OF("", "http", "https");
static const struct schema path = {
	.kind = SCHEMA_STRING, .max = 2048, .ok = is_path, .must = "must begin with /"
};

#define CHECK_FIELDS                                                                               \
	{ "type", &check_type, FIELD_REQUIRED }, { "port", &port, 0 },                             \
	    { "interval", &duration, 0 }, { "timeout", &duration, 0 },                             \
	    { "grace_period", &duration, 0 }, { "method", &word, 0 }, { "path", &path, 0 },        \
	    { "protocol", &check_protocol, 0 }, { "headers", &headers, 0 },                        \
	    { "tls_skip_verify", &boolean, 0 },                                                    \
	{                                                                                          \
		"tls_server_name", &word, 0                                                        \
	}

static const struct schema service_check = OBJECT(((const struct schema_field[]){
    CHECK_FIELDS,
    { NULL, NULL, 0 },
}));
static const struct schema service_checks = ARRAY(&service_check, 16);
static const struct schema top_check = OBJECT(((const struct schema_field[]){
    CHECK_FIELDS,
    { "kind", &check_kind, 0 },
    { NULL, NULL, 0 },
}));
static const struct schema top_checks = { .kind = SCHEMA_MAP,
	.max = 16,
	.item = &top_check,
	.ok = is_metadata_key,
	.must = "must be 1 to 64 letters, digits, dots, dashes or underscores" };

static const struct schema handler = ONE_OF("http", "tls", "pg_tls", "proxy_proto", "edge_http");
static const struct schema handlers = ARRAY(&handler, 4);
static const struct schema service_port = OBJECT(((const struct schema_field[]){
    { "port", &port, 0 },
    { "start_port", &port, 0 },
    { "end_port", &port, 0 },
    { "handlers", &handlers, 0 },
    { "force_https", &boolean, 0 },
    { "http_options", &any, 0 },
    { "tls_options", &any, 0 },
    { "proxy_proto_options", &any, FIELD_IDLE },
    { NULL, NULL, 0 },
}));
static const struct schema service_ports = ARRAY(&service_port, 32);
static const struct schema concurrency_type = ONE_OF("", "connections", "requests");
static const struct schema limit = INT(0, 1000000);
static const struct schema concurrency = OBJECT(((const struct schema_field[]){
    { "type", &concurrency_type, 0 },
    { "soft_limit", &limit, 0 },
    { "hard_limit", &limit, 0 },
    { NULL, NULL, 0 },
}));
static const struct schema service_protocol = ONE_OF("", "tcp", "udp");
static const struct schema autostop = { .kind = SCHEMA_STRING,
	.max = 16,
	.also = ALSO_BOOL,
	.one_of = (const char *const[]){ "off", "stop", "suspend", NULL } };
static const struct schema small = INT(0, 10000);
static const struct schema service = OBJECT(((const struct schema_field[]){
    { "protocol", &service_protocol, 0 },
    { "internal_port", &port, FIELD_REQUIRED },
    { "ports", &service_ports, 0 },
    { "checks", &service_checks, 0 },
    { "concurrency", &concurrency, 0 },
    { "autostop", &autostop, FIELD_IDLE },
    { "autostart", &boolean, FIELD_IDLE },
    { "min_machines_running", &small, FIELD_IDLE },
    { "force_instance_key", &word, FIELD_IDLE },
    { "force_instance_description", &word, FIELD_IDLE },
    { NULL, NULL, 0 },
}));
static const struct schema services = ARRAY(&service, 16);

/* ---- what runs ---- */

static const struct schema env_value = STRING(64 * 1024);
static const struct schema env = { .kind = SCHEMA_MAP,
	.max = 512,
	.item = &env_value,
	.ok = is_env_name,
	.must = "must be letters, digits and underscores, and not begin with a digit" };
static const struct schema swap = INT(0, 65536);
static const struct schema init = OBJECT(((const struct schema_field[]){
    { "exec", &words, 0 },
    { "entrypoint", &words, 0 },
    { "cmd", &words, 0 },
    { "tty", &boolean, 0 },
    { "swap_size_mb", &swap, 0 },
    { "kernel_args", &any, FIELD_LATER },
    { NULL, NULL, 0 },
}));
static const struct schema cpu_kind = ONE_OF("", "shared", "performance"), cpus = INT(0, 32),
			   memory = INT(0, 262144),
			   /* a root disk that outlives a stop waits for volumes: taking the
			      others and losing the data would be a lie */
    persist = ONE_OF("", "never");
static const struct schema guest = OBJECT(((const struct schema_field[]){
    { "cpu_kind", &cpu_kind, 0 },
    { "cpus", &cpus, 0 },
    { "memory_mb", &memory, 0 },
    { "max_memory_mb", &memory, FIELD_IDLE },
    { "gpus", &any, FIELD_LATER },
    { "gpu_kind", &any, FIELD_LATER },
    { "host_dedication_id", &any, FIELD_LATER },
    { "kernel_args", &any, FIELD_LATER },
    { "persist_rootfs", &persist, 0 },
    { NULL, NULL, 0 },
}));
static const struct schema guest_path = { .kind = SCHEMA_STRING,
	.min = 2,
	.max = 4096,
	.ok = is_absolute,
	.must = "must be an absolute path without \"..\"" };
static const struct schema raw_value = {
	.kind = SCHEMA_STRING, .max = 96 * 1024, .ok = is_base64, .must = "must be base64"
};
static const struct schema mode = INT(0, 07777);
static const struct schema file = OBJECT(((const struct schema_field[]){
    { "guest_path", &guest_path, FIELD_REQUIRED },
    { "raw_value", &raw_value, 0 },
    { "mode", &mode, 0 },
    { "secret_name", &any, FIELD_LATER },
    { "image_config", &any, FIELD_LATER },
    { NULL, NULL, 0 },
}));
static const struct schema files = ARRAY(&file, 64);
static const struct schema policy = ONE_OF("", "no", "on-failure", "always"),
			   retries = INT(0, 1000000);
static const struct schema restart = OBJECT(((const struct schema_field[]){
    { "policy", &policy, 0 },
    { "max_retries", &retries, 0 },
    { "gpu_bid_price", &any, FIELD_LATER },
    { NULL, NULL, 0 },
}));
static const struct schema stop_timeout = DURATION(300 * 1000);
static const struct schema stop_config = OBJECT(((const struct schema_field[]){
    { "signal", &signal_name, 0 },
    { "timeout", &stop_timeout, 0 },
    { NULL, NULL, 0 },
}));
static const struct schema dns = OBJECT(((const struct schema_field[]){
    { "skip_registration", &boolean, 0 },
    { "nameservers", &any, FIELD_LATER },
    { "searches", &any, FIELD_LATER },
    { "options", &any, FIELD_LATER },
    { "dns_forward_rules", &any, FIELD_LATER },
    { "hostname", &any, FIELD_LATER },
    { "hostname_fqdn", &any, FIELD_LATER },
    { NULL, NULL, 0 },
}));
static const struct schema metadata_value = STRING(4096);
const struct schema schema_metadata_map = { .kind = SCHEMA_MAP,
	.max = 64,
	.item = &metadata_value,
	.ok = is_metadata_key,
	.must = "must be 1 to 64 letters, digits, dots, dashes or underscores" };
static const struct schema rootfs_gb = INT(0, 500);
static const struct schema rootfs = OBJECT(((const struct schema_field[]){
    { "size_gb", &rootfs_gb, 0 },
    { "persist", &persist, 0 },
    { NULL, NULL, 0 },
}));
static const struct schema image = { .kind = SCHEMA_STRING,
	.min = 1,
	.max = 380,
	.ok = is_image,
	.must = "must be an image reference: registry/name:tag, name@sha256:..., or sha256:... of "
		"an upload" };

const struct schema schema_machine_config = OBJECT(((const struct schema_field[]){
    { "image", &image, FIELD_REQUIRED },
    { "env", &env, 0 },
    { "init", &init, 0 },
    { "guest", &guest, 0 },
    { "services", &services, 0 },
    { "checks", &top_checks, 0 },
    { "restart", &restart, 0 },
    { "auto_destroy", &boolean, 0 },
    { "stop_config", &stop_config, 0 },
    { "dns", &dns, 0 },
    { "files", &files, 0 },
    { "metadata", &schema_metadata_map, 0 },
    { "rootfs", &rootfs, 0 },
    { "metrics", &any, FIELD_IDLE },
    { "disable_machine_autostart", &boolean, FIELD_IDLE },
    { "size", &word, FIELD_IDLE },
    { "mounts", &any, FIELD_LATER },
    { "processes", &any, FIELD_LATER },
    { "containers", &any, FIELD_LATER },
    { "schedule", &any, FIELD_LATER },
    { "standbys", &any, FIELD_LATER },
    { "statics", &any, FIELD_LATER },
    { "cache_drive", &any, FIELD_LATER },
    { "volumes", &any, FIELD_LATER },
    { "spot", &any, FIELD_LATER },
    { NULL, NULL, 0 },
}));
