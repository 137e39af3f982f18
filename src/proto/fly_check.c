#include "base/str.h"
#include "proto/fly_parse.h"
#include "proto/fly_units.h"

#define CHECK_KEYS                                                                                 \
	"interval timeout grace_period method path protocol tls_skip_verify tls_server_name "      \
	"headers"

static int set(json_t *o, const char *key, json_t *value, struct err *e)
{
	return json_object_set_new(o, key, value) ? fly_no_memory(e) : 0;
}

enum check_kind { CHECK_SERVICE, CHECK_TOP };

/* Service checks are brought into 1s..1m with a warning, top-level ones refused outside theirs (as
 * flyctl does). */
static int check_duration(struct fly_parse *p, const struct conf *c, const char *key,
    enum check_kind kind, json_t *check, struct err *e)
{
	int64_t ms = -1;
	int r = conf_duration(c, key, 1, &ms, e);
	if (r < 0 || ms < 0)
		return r;
	bool grace = streq(key, "grace_period");
	if (kind == CHECK_TOP && streq(key, "interval") && ms < 2000)
		return conf_fail(c, key, e, ERR_INVALID, "must be at least 2s");
	if (kind == CHECK_TOP && streq(key, "timeout") && (ms < 1 || ms > 60000))
		return conf_fail(c, key, e, ERR_INVALID, "must be at most 60s");
	if (kind == CHECK_SERVICE && (ms > 60000 || (ms < 1000 && !grace))) {
		if (fly_warn(p, c, key,
			ms < 1000 ? "is less than 1s; 1s is used" : "is more than 1m; 1m is used"))
			return fly_no_memory(e);
		ms = ms < 1000 ? 1000 : 60000;
	}
	char text[24];
	fly_duration_format(text, ms);
	return set(check, key, json_string(text), e);
}

static int add_header(json_t *headers, const char *name, const json_t *value)
{
	json_t *values = json_is_array(value) ? json_deep_copy(value) : json_pack("[O]", value);
	return json_array_append_new(
	    headers, json_pack("{s:s, s:o}", "name", name, "values", values));
}

static bool is_header_value(const json_t *v)
{
	if (json_is_array(v)) {
		for (size_t i = 0; i < json_array_size(v); i++)
			if (!is_header_value(json_array_get(v, i)) ||
			    json_is_array(json_array_get(v, i)))
				return false;
		return json_array_size(v);
	}
	return json_is_string(v) && !strpbrk(json_string_value(v), "\r\n");
}

static bool is_header_name(const char *s)
{
	return *s && strlen(s) <= 128 &&
	       !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_!#$%&'"
			    "*+.^`|~")];
}

/* A map, or an array of {name, value}. */
static int check_headers(const struct conf *c, json_t *check, struct err *e)
{
	if (!conf_has(c, "headers"))
		return 0;
	json_t *v = json_object_get(c->o, "headers");
	cleanup_json json_t *headers = json_array();
	if (json_is_object(v)) {
		const char *name;
		json_t *value;
		json_object_foreach (v, name, value)
			if (!is_header_name(name) || !is_header_value(value))
				return conf_fail(c, "headers", e, ERR_INVALID,
				    "has \"%.60s\", which is no header with a string for its value",
				    name);
			else if (add_header(headers, name, value))
				return fly_no_memory(e);
		return set(check, "headers", json_incref(headers), e);
	}
	size_t n;
	int r = conf_tables(c, "headers", FLY_SECTIONS_MAX, &n, e);
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct conf h;
		conf_table_at(c, "headers", i, &h);
		const char *name = NULL;
		r = conf_known(&h, "name value", e);
		if (r == 0)
			r = conf_str(&h, "name", &name, e);
		json_t *value = json_object_get(h.o, "value");
		if (r == 0 && (!name || !is_header_name(name) || !is_header_value(value)))
			r = conf_fail(
			    &h, NULL, e, ERR_INVALID, "must have a header's name and its value");
		if (r == 0 && add_header(headers, name, value))
			r = fly_no_memory(e);
	}
	return r == 0 ? set(check, "headers", json_incref(headers), e) : r;
}

static int check_http(const struct conf *c, json_t *check, struct err *e)
{
	static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "OPTIONS", "get",
		"head", "post", "put", "options" };
	const char *path = "/";
	unsigned method = 0, protocol = 0;
	int r = conf_unsupported(c, "tls_skip_verify tls_server_name", e);
	if (r == 0)
		r = conf_word(c, "protocol", "http https", &protocol, e);
	if (r == 0 && protocol)
		r = conf_fail(c, "protocol", e, ERR_UNSUPPORTED, "\"https\" is not supported yet");
	if (r == 0)
		r = conf_word(
		    c, "method", "GET HEAD POST PUT OPTIONS get head post put options", &method, e);
	if (r == 0)
		r = conf_str(c, "path", &path, e);
	if (r == 0 && (*path != '/' || strlen(path) > 1024 || strpbrk(path, " \t\r\n#")))
		r = conf_fail(c, "path", e, ERR_INVALID, "must begin with / and hold no blanks");
	if (r == 0)
		r = set(check, "method", json_string(methods[method % 5]), e);
	if (r == 0)
		r = set(check, "path", json_string(path), e);
	return r == 0 ? check_headers(c, check, e) : r;
}

static int read_check(struct fly_parse *p, const struct conf *c, const char *type,
    enum check_kind kind, json_t **ret, struct err *e)
{
	cleanup_json json_t *check = json_pack("{s:s}", "type", type);
	int r = check ? 0 : fly_no_memory(e);
	static const char *const durations[] = { "interval", "timeout", "grace_period" };
	for (size_t i = 0; r == 0 && i < countof(durations); i++)
		r = check_duration(p, c, durations[i], kind, check, e);
	if (r == 0 && streq(type, "http"))
		r = check_http(c, check, e);
	if (r == 0)
		*ret = json_incref(check);
	return r;
}

int fly_service_checks(struct fly_parse *p, const struct conf *c, const char *key, const char *type,
    json_t *checks, struct err *e)
{
	size_t n;
	int r = conf_tables(c, key, FLY_SECTIONS_MAX, &n, e);
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct conf k;
		json_t *check = NULL;
		conf_table_at(c, key, i, &k);
		r = conf_known(
		    &k, streq(type, "tcp") ? "interval timeout grace_period" : CHECK_KEYS, e);
		if (r == 0)
			r = read_check(p, &k, type, CHECK_SERVICE, &check, e);
		if (r == 0 && json_array_append_new(checks, check))
			r = fly_no_memory(e);
	}
	return r;
}

/* ---- [checks.NAME], [[checks]] ---- */

static int add_check(json_t *config, json_t *named)
{
	json_t *checks = json_object_get(config, "checks");
	if (!checks && json_object_set_new(config, "checks", checks = json_object()))
		return -1;
	return json_object_update(checks, named);
}

static int read_top_check(
    struct fly_parse *p, const struct conf *c, const char *name, struct err *e)
{
	int64_t port = 0;
	unsigned type = 0;
	json_t *check = NULL;
	struct conf http;
	if (!*name || strlen(name) > 63)
		return conf_fail(c, NULL, e, ERR_INVALID, "needs a name of at most 63 bytes");
	int r = conf_known(c, CHECK_KEYS " type port processes name", e);
	if (r == 0 && !conf_has(c, "type"))
		r = conf_fail(c, "type", e, ERR_INVALID, "must be given: \"http\" or \"tcp\"");
	if (r == 0)
		r = conf_word(c, "type", "http tcp", &type, e);
	if (r == 0)
		r = conf_int(c, "port", 1, 65535, &port, e);
	if (r == 0 && !port)
		r = conf_table(&p->root, "http_service", &http, e);
	if (r == 0 && !port)
		port = json_integer_value(json_object_get(http.o, "internal_port"));
	if (r == 0 && !port)
		r = conf_fail(c, "port", e, ERR_INVALID,
		    "must be given, since there is no [http_service] to take it from");
	if (r == 0)
		r = read_check(p, c, type ? "tcp" : "http", CHECK_TOP, &check, e);
	cleanup_json json_t *named = json_object();
	if (r == 0 && (json_object_set_new(check, "port", json_integer(port)) ||
			  json_object_set(named, name, check)))
		r = fly_no_memory(e);
	json_decref(check);
	return r == 0 ? fly_for_groups(p, c, false, add_check, named, e) : r;
}

int fly_read_checks(struct fly_parse *p, struct err *e)
{
	json_t *v = json_object_get(p->root.o, "checks");
	struct conf all, c;
	size_t n = 0;
	int r;
	if (json_is_array(v)) {
		r = conf_tables(&p->root, "checks", FLY_SECTIONS_MAX, &n, e);
		for (size_t i = 0; r == 0 && i < n; i++) {
			const char *name = "";
			conf_table_at(&p->root, "checks", i, &c);
			r = conf_str(&c, "name", &name, e);
			if (r == 0)
				r = read_top_check(p, &c, name, e);
		}
		return r;
	}
	r = conf_table(&p->root, "checks", &all, e);
	if (r == 0 && json_object_size(all.o) > FLY_SECTIONS_MAX)
		return conf_fail(
		    &all, NULL, e, ERR_TOO_LARGE, "has more than %d checks", FLY_SECTIONS_MAX);
	const char *name;
	json_object_foreach ((json_t *)all.o, name, v) {
		if (r == 0)
			r = conf_table(&all, name, &c, e);
		if (r == 0)
			r = read_top_check(p, &c, name, e);
	}
	return r;
}
