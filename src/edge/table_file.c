#include "edge/table_file.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include <arpa/inet.h>
#include <fcntl.h>

static int add_machine(struct route_builder *b, json_t *j, struct err *e)
{
	struct route_backend m = { 0 };
	const char *id = NULL, *ip = NULL;
	int64_t port = 0, soft = 0, hard = 0;
	int r = json_need_str(j, "machine", "id", &id, e);
	if (r >= 0)
		r = json_need_str(j, "machine", "ipv4", &ip, e);
	if (r >= 0)
		r = json_need_int(j, "machine", "port", 1, 65535, &port, e);
	if (r >= 0)
		r = json_opt_int(j, "machine", "soft", 0, UINT32_MAX, &soft, e);
	if (r >= 0)
		r = json_opt_int(j, "machine", "hard", 0, UINT32_MAX, &hard, e);
	if (r < 0)
		return r;
	if (!str_copy(m.machine, sizeof(m.machine), id) || inet_pton(AF_INET, ip, m.ipv4) != 1)
		return err_set(e, ERR_INVALID, "machine %.40s: not a usable id or address", id);
	m.port = (uint16_t)port;
	m.soft = (uint32_t)soft;
	m.hard = (uint32_t)hard;
	return route_builder_backend(b, &m, e);
}

static int add_pool(struct route_builder *b, json_t *app, enum route_side side,
    const struct route_pool *pool, struct err *e)
{
	json_t *machines = NULL, *m;
	size_t i;
	int r = json_opt_array(app, "app", "machines", &machines, e);
	if (r >= 0)
		r = route_builder_pool(b, side, pool, e);
	json_array_foreach (machines, i, m) {
		if (r >= 0)
			r = add_machine(b, m, e);
	}
	return r;
}

static int add_app(struct route_builder *b, json_t *j, struct err *e)
{
	const char *id = NULL, *name = NULL;
	bool force = false, plain = false;
	int64_t port = 8080, unhealthy = 0, resting = 0;
	json_t *hosts = NULL, *h;
	size_t i;
	int r = json_need_str(j, "app", "id", &id, e);
	if (r >= 0)
		r = json_need_str(j, "app", "name", &name, e);
	if (r >= 0)
		r = json_opt_bool(j, "app", "force_https", &force, e);
	if (r >= 0)
		r = json_opt_bool(j, "app", "plain", &plain, e);
	if (r >= 0)
		r = json_opt_int(j, "app", "port", 1, 65535, &port, e);
	if (r >= 0)
		r = json_opt_int(j, "app", "unhealthy", 0, 1000, &unhealthy, e);
	if (r >= 0)
		r = json_opt_int(j, "app", "resting", 0, 1000, &resting, e);
	if (r >= 0)
		r = json_opt_array(j, "app", "hosts", &hosts, e);
	if (r >= 0)
		r = route_builder_app(b, id, name, e);
	json_array_foreach (hosts, i, h) {
		if (r >= 0)
			r = route_builder_host(b, json_is_string(h) ? json_string_value(h) : "", e);
	}
	struct route_pool pool = { .unhealthy = (uint32_t)unhealthy,
		.resting = (uint32_t)resting,
		.app_port = (uint16_t)port,
		.force_https = force };
	if (r >= 0)
		r = add_pool(b, j, ROUTE_TLS, &pool, e);
	if (r >= 0 && (plain || force))
		r = add_pool(b, j, ROUTE_PLAIN, &pool, e);
	return r;
}

int table_file_read(const char *path, uint64_t serial, struct buf *ret, struct err *e)
{
	cleanup_json json_t *doc = NULL;
	json_t *apps = NULL, *a;
	size_t i;
	int r = json_read_file(AT_FDCWD, path, 16 * 1024 * 1024, &doc, e);
	if (r >= 0)
		r = json_opt_array(doc, "", "apps", &apps, e);
	if (r < 0)
		return r;
	struct route_builder b;
	route_builder_init(&b);
	json_array_foreach (apps, i, a) {
		if (r >= 0)
			r = add_app(&b, a, e);
	}
	if (r >= 0)
		r = route_builder_finish(&b, serial, clock_wall_ms(), ret, e);
	route_builder_done(&b);
	return r;
}
