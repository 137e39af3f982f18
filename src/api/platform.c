#include "api/handlers.h"
#include "api/vault.h"
#include "base/str.h"
#include "proto/ipc_wardd.h"

/* ---- daemons, by wardd ---- */

/* NULL when wardd does not answer: then status tells the rest. */
static json_t *daemons(struct call *c)
{
	enum { WARDD_MS = 1000 };
	char path[108];
	struct err e;
	cleanup_close int fd = -1;
	struct ipc_head ask = { .type = WARDD_STATUS, .version = WARDD_VERSION, .seq = 1 };
	struct wardd_status s;
	if ((size_t)snprintf(path, sizeof(path), "%s/wardd.sock", c->api->places.run) >=
		sizeof(path) ||
	    ipc_connect(path, &fd, &e) < 0 ||
	    ipc_call(fd, &ask, sizeof(ask), NULL, 0, &s, sizeof(s), NULL, NULL, WARDD_MS, &e) < 0)
		return NULL;
	json_t *list = json_array();
	uint64_t now = clock_boot_ms();
	for (uint32_t i = 0; i < MIN(s.count, (uint32_t)DAEMON_MAX); i++) {
		struct wardd_daemon_status *d = &s.daemon[i];
		d->name[sizeof(d->name) - 1] = 0;
		bool up = d->pid > 0 && d->up_since_boot_ms <= now;
		json_array_append_new(
		    list, json_pack("{s:s, s:i, s:i, s:I}", "name", d->name, "pid", (int)d->pid,
			      "restarts", (int)d->restarts, "up_ms",
			      (json_int_t)(up ? now - d->up_since_boot_ms : 0)));
	}
	return list;
}

static int count(void *arg, const char *rest, json_t *value)
{
	++*(json_int_t *)arg;
	return 0;
}

static int count_app(void *arg, const char *rest, json_t *value)
{
	const char *slash = strchr(rest, '/');
	*(json_int_t *)arg +=
	    slash && streq(slash, "/app") && !streq(state_text(value, "status"), "deleting");
	return 0;
}

static int count_machine(void *arg, const struct machine_ref *m)
{
	*(json_int_t *)arg += !streq(state_text(m->desired, "want"), "destroyed");
	return 0;
}

void platform_status(struct call *c)
{
	const struct state *s = &c->api->state;
	char vault[240] = "does not answer";
	struct err e;
	json_int_t hosts = 0, apps = 0, machines = 0;
	if (api_vault(
		c->api->places.run, VAULT_STATUS, "", "", (struct bytes){ 0 }, NULL, vault, &e) < 0)
		str_copy(vault, sizeof(vault), "does not answer");
	if (state_synced(s)) {
		state_each(s, VIEW_HOSTS, "", count, &hosts);
		state_each(s, VIEW_APPS, "", count_app, &apps);
		state_each_machine(s, NULL, count_machine, &machines);
	}
	json_t *list = daemons(c);
	call_json(c, 200,
	    json_pack("{s:s, s:s, s:s, s:o, s:{s:b, s:I}, s:s, s:I, s:I, s:I}", "version",
		WARD_VERSION, "instance", c->api->places.instance, "region", c->api->region,
		"daemons", list ? list : json_array(), "store", "connected", state_connected(s),
		"revision", (json_int_t)store_view_revision(s->view[VIEW_DESIRED]), "vault", vault,
		"hosts", hosts, "apps", apps, "machines", machines));
}

/* ---- hosts ---- */

struct usage {
	const char *host;
	json_int_t machines, cpus, memory, disk;
};

static json_int_t config_int(
    const json_t *config, const char *part, const char *key, json_int_t without)
{
	json_int_t n = json_integer_value(json_object_get(json_object_get(config, part), key));
	return n > 0 ? n : without;
}

static int add_usage(void *arg, const struct machine_ref *m)
{
	enum { CPUS = 1, MEMORY_MIB = 256, SCRATCH_GIB = 8 }; /* core/records.h's own defaults */
	struct usage *u = arg;
	const json_t *config = json_object_get(m->desired, "config");
	if (!streq(m->host, u->host) || streq(state_text(m->desired, "want"), "destroyed"))
		return 0;
	u->machines++;
	u->cpus += config_int(config, "guest", "cpus", CPUS);
	u->memory += config_int(config, "guest", "memory_mb", MEMORY_MIB);
	u->disk += config_int(config, "rootfs", "size_gb", SCRATCH_GIB) * 1024;
	return 0;
}

struct hosts {
	const struct state *state;
	json_t *list;
};

static int add_host(void *arg, const char *name, json_t *value)
{
	struct hosts *h = arg;
	struct usage u = { .host = name };
	state_each_machine(h->state, NULL, add_usage, &u);
	json_array_append_new(
	    h->list, json_pack("{s:s, s:s, s:b, s:s, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I}}",
			 "name", name, "region", state_text(value, "region"), "alive",
			 state_get(h->state, VIEW_ALIVE, "%s", name) != NULL, "engine",
			 state_text(value, "engine"), "cpus",
			 json_integer_value(json_object_get(value, "cpus")), "memory_mib",
			 json_integer_value(json_object_get(value, "memory_mib")), "disk_mib",
			 json_integer_value(json_object_get(value, "disk_mib")), "used", "machines",
			 u.machines, "cpus", u.cpus, "memory_mib", u.memory, "disk_mib", u.disk));
	return 0;
}

void platform_hosts(struct call *c)
{
	struct hosts h = { &c->api->state, json_array() };
	state_each(&c->api->state, VIEW_HOSTS, "", add_host, &h);
	call_json(c, 200, json_pack("{s:o}", "hosts", h.list));
}

/* ---- regions: those that some host is in ---- */

static int add_region(void *arg, const char *name, json_t *value)
{
	json_t *list = arg, *row;
	const char *region = state_text(value, "region");
	size_t i;
	json_array_foreach (list, i, row) {
		if (streq(state_text(row, "code"), region))
			return 0;
	}
	json_array_append_new(
	    list, json_pack("{s:s, s:s, s:f, s:f, s:b, s:b, s:b, s:s}", "code", region, "name",
		      region, "latitude", 0.0, "longitude", 0.0, "gateway_available", 0,
		      "requires_paid_plan", 0, "deprecated", 0, "geo_region", ""));
	return 0;
}

void platform_regions(struct call *c)
{
	json_t *list = json_array();
	state_each(&c->api->state, VIEW_HOSTS, "", add_region, list);
	call_json(c, 200, json_pack("{s:s, s:o}", "nearest", c->api->region, "regions", list));
}

void platform_openapi(struct call *c)
{
	if (c->api->openapi)
		http_answer(c->http, 200, "application/json", c->api->openapi, c->api->openapi_len);
	else
		call_failf(c, ERR_NOT_FOUND, "the API's description is not installed here");
}
