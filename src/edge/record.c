#include "edge/record.h"
#include "base/str.h"
#include "core/duration.h"
#include "core/records.h"
#include "proto/http1.h"
#include <arpa/inet.h>

static int parse_ports(const json_t *service, struct routes_service *s, struct err *e)
{
	json_t *ports = NULL, *p, *h;
	size_t i, k;
	int r = json_opt_array(service, "service", "ports", &ports, e);
	json_array_foreach (ports, i, p) {
		json_t *handlers = NULL;
		bool http = false, tls = false, force = false;
		if (r >= 0)
			r = json_opt_array(p, "port", "handlers", &handlers, e);
		if (r >= 0)
			r = json_opt_bool(p, "port", "force_https", &force, e);
		json_array_foreach (handlers, k, h) {
			const char *name = json_is_string(h) ? json_string_value(h) : "";
			http |= streq(name, "http");
			tls |= streq(name, "tls");
		}
		/* raw TCP and the other handlers have no place in this table */
		s->tls |= http && tls;
		s->plain |= http && !tls;
		s->force_https |= http && !tls && force;
	}
	return r;
}

static int parse_concurrency(const json_t *service, struct routes_service *s, struct err *e)
{
	json_t *c = NULL;
	const char *type = "connections";
	int64_t soft = 0, hard = 0;
	int r = json_opt_object(service, "service", "concurrency", &c, e);
	if (r < 0 || !c)
		return r;
	if ((r = json_opt_str(c, "concurrency", "type", &type, e)) < 0 ||
	    (r = json_opt_int(c, "concurrency", "soft_limit", 0, UINT32_MAX, &soft, e)) < 0 ||
	    (r = json_opt_int(c, "concurrency", "hard_limit", 0, UINT32_MAX, &hard, e)) < 0)
		return r;
	s->by_connections = !streq(type, "requests");
	s->soft = (uint32_t)soft;
	s->hard = (uint32_t)hard;
	return 0;
}

/* The request that an http check sends. Values that could not stand in a head are refused here,
 * once. */
static int write_request(const json_t *j, struct record_check *c, struct err *e)
{
	const char *method = "GET", *path = "/";
	json_t *headers = NULL, *h, *v;
	size_t i, k;
	bool has_host = false;
	int r = json_opt_str(j, "check", "method", &method, e);
	if (r >= 0)
		r = json_opt_str(j, "check", "path", &path, e);
	if (r >= 0)
		r = json_opt_array(j, "check", "headers", &headers, e);
	if (r < 0)
		return r;
	if (path[0] != '/' || strlen(path) > RECORD_PATH_MAX ||
	    strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(method) || !method[0] ||
	    json_array_size(headers) > RECORD_HEADERS_MAX)
		return err_set(e, ERR_INVALID,
		    "check %s: its method, path or headers cannot be used", c->name);
	struct http1_out o = { .base = c->request, .cap = sizeof(c->request) };
	http1_put_request_line(
	    &o, (struct bytes){ method, strlen(method) }, (struct bytes){ path, strlen(path) });
	json_array_foreach (headers, i, h) {
		const char *name = NULL;
		json_t *values = NULL;
		if ((r = json_need_str(h, "header", "name", &name, e)) < 0 ||
		    (r = json_opt_array(h, "header", "values", &values, e)) < 0)
			return r;
		has_host |= !strcasecmp(name, "host");
		json_array_foreach (values, k, v)
			if (json_is_string(v))
				http1_put_field_text(&o, name, json_string_value(v));
	}
	if (!has_host)
		http1_put_text(&o, "Host: localhost\r\n");
	http1_put_text(&o, "User-Agent: ward-check\r\nConnection: close\r\n");
	http1_put_end(&o);
	/* written like any head, so read like one: what is no token or value shows here */
	static struct http1_request q;
	size_t scanned = 0;
	if (o.overflow || http1_parse_request(o.base, o.len, &scanned, &q, NULL) != (ssize_t)o.len)
		return err_set(e, ERR_INVALID,
		    "check %s: its method, path or headers cannot be used", c->name);
	c->request_len = o.len;
	return 0;
}

static int parse_check(const json_t *j, const char *name, int service, uint16_t port,
    struct record_machine *m, struct err *e)
{
	if (m->nchecks == RECORD_CHECKS_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %d checks", RECORD_CHECKS_MAX);
	struct record_check *c = &m->check[m->nchecks];
	const char *type = "tcp";
	int64_t own_port = port, interval = CHECK_INTERVAL_MS, timeout = CHECK_TIMEOUT_MS,
		grace = CHECK_GRACE_MS;
	int r = json_opt_str(j, "check", "type", &type, e);
	if (r >= 0)
		r = json_opt_int(j, "check", "port", 1, 65535, &own_port, e);
	if (r >= 0)
		r = duration_opt_ms(j, "check", "interval", &interval, e);
	if (r >= 0)
		r = duration_opt_ms(j, "check", "timeout", &timeout, e);
	if (r >= 0)
		r = duration_opt_ms(j, "check", "grace_period", &grace, e);
	if (r < 0)
		return r;
	c->http = streq(type, "http");
	c->port = (uint16_t)own_port;
	c->service = service;
	c->times = (struct check_times){ (uint64_t)interval, (uint64_t)timeout, (uint64_t)grace };
	check_times_bound(&c->times);
	if ((!c->http && !streq(type, "tcp")) || !c->port)
		return err_set(
		    e, ERR_UNSUPPORTED, "a check of type %.20s on port %u", type, c->port);
	if (name)
		snprintf(c->name, sizeof(c->name), "%.70s", name);
	else
		snprintf(c->name, sizeof(c->name), "servicecheck-%02zu-%s-%u", m->nchecks, type,
		    c->port);
	if (c->http && (r = write_request(j, c, e)) < 0)
		return r;
	m->nchecks++;
	return 0;
}

static int parse_service(const json_t *j, struct record_machine *m, struct err *e)
{
	if (m->route.nservices == ROUTES_SERVICES_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %d services", ROUTES_SERVICES_MAX);
	struct routes_service *s = &m->route.service[m->route.nservices];
	json_t *checks = NULL, *c;
	size_t i;
	int64_t port = 0;
	int r = json_need_int(j, "service", "internal_port", 1, 65535, &port, e);
	if (r < 0)
		return r;
	s->internal_port = (uint16_t)port;
	if ((r = parse_ports(j, s, e)) < 0 || (r = parse_concurrency(j, s, e)) < 0 ||
	    (r = json_opt_array(j, "service", "checks", &checks, e)) < 0)
		return r;
	json_array_foreach (checks, i, c) {
		r = parse_check(c, NULL, (int)m->route.nservices, s->internal_port, m, e);
		if (r < 0)
			return r;
	}
	m->route.nservices++;
	return 0;
}

static int parse_config(const json_t *config, struct record_machine *m, struct err *e)
{
	json_t *services = NULL, *checks = NULL, *j;
	size_t i;
	const char *name;
	int r = json_opt_array(config, "config", "services", &services, e);
	if (r >= 0)
		r = json_opt_object(config, "config", "checks", &checks, e);
	json_array_foreach (services, i, j) {
		if (r >= 0)
			r = parse_service(j, m, e);
	}
	json_object_foreach (checks, name, j) {
		if (r >= 0)
			r = parse_check(j, name, -1, 0, m, e);
	}
	return r;
}

static int parse_observed(
    const json_t *j, const struct desired *d, struct record_machine *m, struct err *e)
{
	struct observed o;
	const char *ip = "";
	int r = observed_parse(j, &o, e);
	if (r >= 0)
		r = json_opt_str(j, "", "ipv4", &ip, e);
	if (r < 0)
		return r;
	m->route.started = o.state == MACHINE_STARTED;
	/* another version runs than is wanted: it is about to be stopped */
	if (!streq(o.instance_id, d->instance_id))
		m->route.wanted = false;
	memcpy(m->instance_id, o.instance_id, sizeof(m->instance_id));
	m->generation = o.generation;
	if (ip[0] && inet_pton(AF_INET, ip, m->route.ipv4) != 1)
		return err_set(e, ERR_INVALID, "the observed address %.20s", ip);
	return 0;
}

int record_parse(
    const json_t *desired, const json_t *observed, struct record_machine *ret, struct err *e)
{
	struct desired d;
	int r = desired_parse(desired, &d, e);
	if (r < 0)
		return r;
	*ret = (struct record_machine){ .route.wanted = d.want == WANT_STARTED && !d.cordoned };
	memcpy(ret->route.id, d.id, sizeof(ret->route.id));
	memcpy(ret->route.app, d.app, sizeof(ret->route.app));
	r = parse_config(d.config, ret, e);
	if (r >= 0 && observed)
		r = parse_observed(observed, &d, ret, e);
	desired_done(&d);
	return r;
}
