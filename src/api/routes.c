#include "api/routes.h"
#include "api/handlers.h"
#include "api/schemas.h"

static const struct schema_field no_fields[] = { { NULL, NULL, 0 } };
static const struct schema nothing = { .kind = SCHEMA_OBJECT, .fields = no_fields };

#define APP     "/v1/apps/{app}"
#define MACHINE APP "/machines/{machine}"

enum {
	OWN = ROUTE_OWN,
	CHANGE = ROUTE_CHANGE,
	STREAM = ROUTE_STREAM,
	NO_STATE = ROUTE_NO_STATE,
};

/* Rows of one path stand together; a word before the braces that would take it too. */
const struct route routes[] = {
	/* the Machines API */
	{ "GET", "/v1/apps", "Apps_list", RIGHT_READ, 0, NULL, apps_list },
	{ "POST", "/v1/apps", "Apps_create", RIGHT_CHANGE, CHANGE, &schema_app_create,
	    apps_create },
	{ "GET", APP, "Apps_show", RIGHT_READ, 0, NULL, apps_show },
	{ "DELETE", APP, "Apps_delete", RIGHT_CHANGE, CHANGE, &nothing, apps_delete },

	{ "GET", APP "/machines", "Machines_list", RIGHT_READ, 0, NULL, machines_list },
	{ "POST", APP "/machines", "Machines_create", RIGHT_CHANGE, CHANGE, &schema_machine_create,
	    machines_create },
	{ "GET", MACHINE, "Machines_show", RIGHT_READ, 0, NULL, machines_show },
	{ "POST", MACHINE, "Machines_update", RIGHT_CHANGE, CHANGE, &schema_machine_update,
	    machines_update },
	{ "DELETE", MACHINE, "Machines_delete", RIGHT_CHANGE, CHANGE, &nothing, machines_delete },
	{ "POST", MACHINE "/start", "Machines_start", RIGHT_CHANGE, CHANGE, &nothing,
	    machines_start },
	{ "POST", MACHINE "/stop", "Machines_stop", RIGHT_CHANGE, CHANGE, &schema_stop,
	    machines_stop },
	{ "POST", MACHINE "/restart", "Machines_restart", RIGHT_CHANGE, CHANGE, &nothing,
	    machines_restart },
	{ "POST", MACHINE "/suspend", "Machines_suspend", RIGHT_CHANGE, CHANGE, &nothing,
	    machines_suspend },
	{ "POST", MACHINE "/signal", "Machines_signal", RIGHT_CHANGE, 0, &schema_signal,
	    machines_signal },
	{ "GET", MACHINE "/wait", "Machines_wait", RIGHT_READ, 0, NULL, machines_wait },
	{ "POST", MACHINE "/exec", "Machines_exec", RIGHT_ENTER, 0, &schema_exec, machines_exec },
	{ "GET", MACHINE "/events", "Machines_list_events", RIGHT_READ, 0, NULL, machines_events },
	{ "GET", MACHINE "/versions", "Machines_list_versions", RIGHT_READ, 0, NULL,
	    machines_versions },
	{ "GET", MACHINE "/ps", "Machines_list_processes", RIGHT_ENTER, 0, NULL, machines_ps },
	{ "POST", MACHINE "/cordon", "Machines_cordon", RIGHT_CHANGE, CHANGE, &nothing,
	    machines_cordon },
	{ "POST", MACHINE "/uncordon", "Machines_uncordon", RIGHT_CHANGE, CHANGE, &nothing,
	    machines_uncordon },
	{ "GET", MACHINE "/lease", "Machines_show_lease", RIGHT_READ, 0, NULL, leases_show },
	{ "POST", MACHINE "/lease", "Machines_create_lease", RIGHT_CHANGE, CHANGE, &schema_lease,
	    leases_create },
	{ "DELETE", MACHINE "/lease", "Machines_release_lease", RIGHT_CHANGE, CHANGE, &nothing,
	    leases_release },
	{ "GET", MACHINE "/metadata", "Machines_show_metadata", RIGHT_READ, 0, NULL,
	    metadata_show },
	{ "PUT", MACHINE "/metadata", "Machines_replace_metadata", RIGHT_CHANGE, CHANGE,
	    &schema_metadata, metadata_update },
	{ "PATCH", MACHINE "/metadata", "Machines_update_metadata", RIGHT_CHANGE, CHANGE,
	    &schema_metadata, metadata_update },
	{ "GET", MACHINE "/metadata/{key}", "Machines_get_metadata_key", RIGHT_READ, 0, NULL,
	    metadata_key_show },
	{ "POST", MACHINE "/metadata/{key}", "Machines_upsert_metadata", RIGHT_CHANGE, CHANGE,
	    &schema_metadata_value, metadata_key_set },
	{ "DELETE", MACHINE "/metadata/{key}", "Machines_delete_metadata", RIGHT_CHANGE, CHANGE,
	    &nothing, metadata_key_delete },
	{ "GET", "/v1/platform/regions", "Platform_regions_get", RIGHT_READ, 0, NULL,
	    platform_regions },

	/* Ward's own */
	{ "POST", MACHINE "/exec-stream", "Machines_exec_stream", RIGHT_ENTER, OWN, NULL,
	    machines_exec_stream },
	{ "GET", APP "/deploys", "Deploys_list", RIGHT_READ, OWN, NULL, deploys_list },
	{ "POST", APP "/deploys", "Deploys_create", RIGHT_CHANGE, OWN | CHANGE, &schema_deploy,
	    deploys_create },
	{ "GET", APP "/deploys/{deploy}", "Deploys_show", RIGHT_READ, OWN, NULL, deploys_show },
	{ "GET", APP "/releases", "Releases_list", RIGHT_READ, OWN, NULL, releases_list },
	{ "POST", APP "/releases/rollback", "Releases_rollback", RIGHT_CHANGE, OWN | CHANGE,
	    &schema_rollback, releases_rollback },
	{ "GET", APP "/scale", "Scale_show", RIGHT_READ, OWN, NULL, scale_show },
	{ "POST", APP "/scale", "Scale_set", RIGHT_CHANGE, OWN | CHANGE, &schema_scale, scale_set },
	{ "GET", APP "/logs", "Logs_show", RIGHT_ENTER, OWN, NULL, logs_show },
	{ "HEAD", "/v1/blobs/{digest}", "Blobs_head", RIGHT_CHANGE, OWN | NO_STATE, NULL,
	    blobs_head },
	{ "PUT", "/v1/blobs/{digest}", "Blobs_put", RIGHT_CHANGE, OWN | NO_STATE | STREAM, NULL,
	    blobs_put },
	{ "GET", "/v1/status", "Status_show", RIGHT_PLATFORM, OWN | NO_STATE, NULL,
	    platform_status },
	{ "GET", "/v1/hosts", "Hosts_list", RIGHT_PLATFORM, OWN, NULL, platform_hosts },
	{ "GET", "/v1/openapi.json", "Openapi_show", RIGHT_PUBLIC, OWN | NO_STATE, NULL,
	    platform_openapi },
};
const size_t routes_count = countof(routes);
