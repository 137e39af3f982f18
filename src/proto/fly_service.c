#include "base/str.h"
#include "proto/fly_parse.h"
#include "proto/fly_units.h"

#define SERVICE_KEYS                                                                               \
	"internal_port auto_stop_machines auto_start_machines min_machines_running processes "     \
	"concurrency"

static int set(json_t *o, const char *key, json_t *value, struct err *e)
{
	return json_object_set_new(o, key, value) ? fly_no_memory(e) : 0;
}

static int no_scaling(const struct conf *c, const char *key, const char *what, struct err *e)
{
	int r = conf_fail(c, key, e, ERR_UNSUPPORTED, "%s", what);
	err_next(e, "write auto_stop_machines = \"off\" and auto_start_machines = false, or leave "
		    "both out");
	return r;
}

/* Starting and stopping by traffic is not there yet, so only values that ask for none of it pass.
 */
static int read_scaling(const struct conf *c, struct err *e)
{
	json_t *stop = json_object_get(c->o, "auto_stop_machines");
	bool start = false;
	int64_t min = 0;
	unsigned word = 0;
	int r = 0;
	if (stop && !json_is_boolean(stop))
		r = conf_word(c, "auto_stop_machines", "off stop suspend", &word, e);
	if (r == 0 && (word || json_is_true(stop)))
		r = no_scaling(c, "auto_stop_machines",
		    "is not supported yet unless it is \"off\": machines run until they are "
		    "stopped",
		    e);
	if (r == 0)
		r = conf_bool(c, "auto_start_machines", &start, e);
	if (r == 0 && start)
		r = no_scaling(c, "auto_start_machines",
		    "is not supported yet unless it is false: traffic starts no machine", e);
	if (r == 0)
		r = conf_int(c, "min_machines_running", 0, 1000, &min, e);
	return r; /* min_machines_running holds by itself, since traffic stops none */
}

static int read_concurrency(const struct conf *c, json_t *service, struct err *e)
{
	int64_t soft = 0, hard = 0;
	unsigned type = 0;
	json_t *v = json_object_get(c->o, "concurrency");
	if (!v)
		return 0;
	if (json_is_string(v)) { /* "soft,hard" */
		const char *s = json_string_value(v), *comma = strchr(s, ',');
		char first[24] = "";
		uint64_t a, b;
		if (comma && (size_t)(comma - s) < sizeof(first))
			memcpy(first, s, (size_t)(comma - s));
		if (!comma || !str_u64(first, 1000000, &a) || !str_u64(comma + 1, 1000000, &b))
			return conf_fail(
			    c, "concurrency", e, ERR_INVALID, "must be a table, or \"soft,hard\"");
		soft = (int64_t)a;
		hard = (int64_t)b;
		type = 1;
	} else {
		struct conf k;
		int r = conf_table(c, "concurrency", &k, e);
		if (r == 0)
			r = conf_known(&k, "type hard_limit soft_limit", e);
		if (r == 0)
			r = conf_word(&k, "type", "connections requests", &type, e);
		if (r == 0)
			r = conf_int(&k, "soft_limit", 1, 1000000, &soft, e);
		if (r == 0)
			r = conf_int(&k, "hard_limit", 1, 1000000, &hard, e);
		if (r < 0)
			return r;
	}
	if (soft && hard && soft > hard)
		return conf_fail(
		    c, "concurrency", e, ERR_INVALID, "has a soft limit above its hard limit");
	json_t *o = json_pack("{s:s}", "type", type ? "requests" : "connections");
	if ((soft && json_object_set_new(o, "soft_limit", json_integer(soft))) ||
	    (hard && json_object_set_new(o, "hard_limit", json_integer(hard)))) {
		json_decref(o);
		return fly_no_memory(e);
	}
	return set(service, "concurrency", o, e);
}

static int add_service(json_t *config, json_t *service)
{
	json_t *list = json_object_get(config, "services");
	if (!list && json_object_set_new(config, "services", list = json_array()))
		return -1;
	return json_array_append(list, service);
}

/* What [http_service] and [[services]] share. Puts the service into its groups. */
static int finish_service(struct fly_parse *p, const struct conf *c, json_t *service, struct err *e)
{
	int64_t port = 0;
	int r = conf_int(c, "internal_port", 1, 65535, &port, e);
	if (r == 0 && !port)
		r = conf_fail(c, "internal_port", e, ERR_INVALID,
		    "must be given: the port that the app listens on");
	if (r == 0)
		r = set(service, "internal_port", json_integer(port), e);
	if (r == 0)
		r = read_scaling(c, e);
	if (r == 0)
		r = read_concurrency(c, service, e);
	return r == 0 ? fly_for_groups(p, c, true, add_service, service, e) : r;
}

static int read_http_service(struct fly_parse *p, const struct conf *c, struct err *e)
{
	bool force = false;
	cleanup_json json_t *checks = json_array();
	int r = conf_known(
	    c, SERVICE_KEYS " force_https tls_options http_options checks machine_checks hsts", e);
	if (r == 0)
		r = conf_unsupported(c, "tls_options http_options machine_checks hsts", e);
	if (r == 0)
		r = conf_bool(c, "force_https", &force, e);
	if (r == 0)
		r = fly_service_checks(p, c, "checks", "http", checks, e);
	if (r < 0)
		return r;
	cleanup_json json_t *service = json_pack("{s:s, s:[{s:i, s:[s], s:b}, {s:i, s:[s, s]}]}",
	    "protocol", "tcp", "ports", "port", 80, "handlers", "http", "force_https", force,
	    "port", 443, "handlers", "http", "tls");
	if (!service || (json_array_size(checks) && json_object_set(service, "checks", checks)))
		return fly_no_memory(e);
	return finish_service(p, c, service, e);
}

static bool has_word(const json_t *list, const char *word)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (streq(json_string_value(json_array_get(list, i)), word))
			return true;
	return false;
}

static int port_number(const struct conf *c, int64_t *ret, struct err *e)
{
	json_t *v = json_object_get(c->o, "port");
	uint64_t n;
	if (json_is_string(v)) {
		if (!str_u64(json_string_value(v), 65535, &n) || !n)
			return conf_fail(
			    c, "port", e, ERR_INVALID, "must be a port between 1 and 65535");
		*ret = (int64_t)n;
		return 0;
	}
	int r = conf_int(c, "port", 1, 65535, ret, e);
	return r == 0 && !v ? conf_fail(c, "port", e, ERR_INVALID, "must be given") : r;
}

static int read_port(const struct conf *c, json_t *ports, struct err *e)
{
	int64_t port = 0;
	bool force = false;
	const json_t *handlers = NULL;
	int r = conf_known(c,
	    "port start_port end_port handlers force_https tls_options http_options "
	    "proxy_proto_options hsts",
	    e);
	if (r == 0)
		r = conf_unsupported(
		    c, "start_port end_port tls_options http_options proxy_proto_options hsts", e);
	if (r == 0)
		r = port_number(c, &port, e);
	if (r == 0)
		r = conf_strings(c, "handlers", 4, &handlers, e);
	if (r == 0)
		r = conf_bool(c, "force_https", &force, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < json_array_size(handlers); i++) {
		const char *h = json_string_value(json_array_get(handlers, i));
		if (streq(h, "pg_tls") || streq(h, "proxy_proto") || streq(h, "edge_http"))
			return conf_fail(c, "handlers", e, ERR_UNSUPPORTED,
			    "has \"%s\", which is not supported yet", h);
		if (!streq(h, "http") && !streq(h, "tls"))
			return conf_fail(c, "handlers", e, ERR_INVALID,
			    "has \"%.40s\"; the handlers are http, tls, pg_tls, proxy_proto", h);
	}
	bool http = has_word(handlers, "http"), tls = has_word(handlers, "tls");
	if (force && !http)
		return conf_fail(c, "force_https", e, ERR_INVALID, "needs the http handler");
	if (!http || (port == 443) != tls || (port != 80 && port != 443))
		return conf_fail(c, NULL, e, ERR_UNSUPPORTED,
		    "is not supported yet: so far only port 80 with [\"http\"] and port 443 with "
		    "[\"tls\", \"http\"] are");
	json_t *o = json_pack("{s:I, s:O}", "port", (json_int_t)port, "handlers", handlers);
	if (force && json_object_set_new(o, "force_https", json_true()))
		return fly_no_memory(e);
	return json_array_append_new(ports, o) ? fly_no_memory(e) : 0;
}

static int read_service(struct fly_parse *p, const struct conf *c, struct err *e)
{
	unsigned protocol = 0;
	size_t n = 0;
	cleanup_json json_t *ports = json_array(), *checks = json_array(), *service = NULL;
	int r =
	    conf_known(c, SERVICE_KEYS " protocol ports tcp_checks http_checks machine_checks", e);
	if (r == 0)
		r = conf_unsupported(c, "machine_checks", e);
	if (r == 0)
		r = conf_word(c, "protocol", "tcp udp", &protocol, e);
	if (r == 0 && protocol)
		r = conf_fail(c, "protocol", e, ERR_UNSUPPORTED, "\"udp\" is not supported yet");
	if (r == 0)
		r = conf_tables(c, "ports", FLY_SECTIONS_MAX, &n, e);
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct conf k;
		conf_table_at(c, "ports", i, &k);
		r = read_port(&k, ports, e);
	}
	if (r == 0)
		r = fly_service_checks(p, c, "tcp_checks", "tcp", checks, e);
	if (r == 0)
		r = fly_service_checks(p, c, "http_checks", "http", checks, e);
	if (r == 0 && !(service = json_pack("{s:s, s:O}", "protocol", "tcp", "ports", ports)))
		r = fly_no_memory(e);
	if (r == 0 && json_array_size(checks) && json_object_set(service, "checks", checks))
		r = fly_no_memory(e);
	return r == 0 ? finish_service(p, c, service, e) : r;
}

int fly_read_services(struct fly_parse *p, struct err *e)
{
	struct conf c;
	size_t n = 0;
	int r = conf_table(&p->root, "http_service", &c, e);
	if (r == 0 && c.o)
		r = read_http_service(p, &c, e);
	if (r == 0)
		r = conf_tables(&p->root, "services", FLY_SECTIONS_MAX, &n, e);
	for (size_t i = 0; r == 0 && i < n; i++) {
		conf_table_at(&p->root, "services", i, &c);
		r = read_service(p, &c, e);
	}
	return r;
}
