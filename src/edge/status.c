#include "edge/status.h"
#include "base/clock.h"
#include "base/str.h"
#include "http/server.h"

/* {"workers":[{"pid","restarts","counters":{...}}],"watcher":{"pid","restarts"},"table":{...},"totals":{...}}
 */
static json_t *counters(const struct edge_counters *c)
{
	json_t *o = json_object();
#define X(name) json_object_set_new(o, #name, json_integer((json_int_t)c->name));
	EDGE_COUNTERS(X)
#undef X
	json_object_set_new(o, "certificates", json_integer((json_int_t)c->certificates));
	json_object_set_new(o, "table_serial", json_integer((json_int_t)c->table_serial));
	return o;
}

static json_t *child(const struct child *k)
{
	json_t *o = json_object();
	json_object_set_new(o, "pid", json_integer(k->pid));
	json_object_set_new(o, "restarts", json_integer(k->restarts));
	return o;
}

static json_t *status(const struct supervisor *s)
{
	json_t *o = json_object(), *workers = json_array(), *table = json_object();
	struct edge_counters sum = { 0 };
	for (unsigned i = 0; i < s->nworkers; i++) {
		const struct edge_counters *c = s->counters + i;
		json_t *w = child(&s->worker[i]);
		json_object_set_new(w, "counters", counters(c));
		json_array_append_new(workers, w);
#define X(name) sum.name += c->name;
		EDGE_COUNTERS(X)
#undef X
		sum.certificates = MAX(sum.certificates, c->certificates);
		sum.table_serial = MAX(sum.table_serial, c->table_serial);
	}
	json_object_set_new(table, "serial", json_integer((json_int_t)s->table.serial));
	json_object_set_new(table, "apps", json_integer(s->table.apps));
	json_object_set_new(table, "hosts", json_integer(s->table.hosts));
	json_object_set_new(table, "machines", json_integer(s->table.machines));
	json_object_set_new(table, "refused", json_integer(s->tables_refused));
	if (s->table.made_at) {
		char at[CLOCK_RFC3339_SIZE];
		clock_format_rfc3339(at, s->table.made_at * 1000);
		json_object_set_new(table, "made_at", json_string(at));
	}
	json_object_set_new(o, "workers", workers);
	json_object_set_new(o, "watcher", child(&s->watcher));
	json_object_set_new(o, "table", table);
	json_object_set_new(o, "totals", counters(&sum));
	return o;
}

static void on_request(void *arg, struct http_request *r)
{
	struct supervisor *s = arg;
	if (!streq(http_path(r), "/v1/status")) {
		struct err e;
		err_set(&e, ERR_NOT_FOUND, "the edge answers GET /v1/status alone");
		http_answer_err(r, &e);
		return;
	}
	json_t *o = status(s);
	http_answer_json(r, 200, o);
	json_decref(o);
}

int status_start(struct supervisor *s, struct err *e)
{
	static const struct http_limits limits = { .body_max = 0,
		.connections = 16,
		.idle_ms = 10000,
		.header_ms = 5000,
		.body_ms = 5000 };
	struct http_server *server;
	int fd = daemon_passed_fd("edge");
	return fd < 0 ? 0
		      : http_server_start(s->loop, fd, &limits, on_request, s, NULL, &server, e);
}
