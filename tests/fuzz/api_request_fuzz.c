/* What the API makes of an untrusted request before any work: the address with its query, the
 * router, and the body against a schema that the first byte picks. */
#include "api/inside.h"
#include "api/lease.h"
#include "api/machine_show.h"
#include "api/routes.h"
#include "api/schema_config.h"
#include "api/schemas.h"
#include "http/url.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_url(const char *p, size_t n)
{
	static const char *const methods[] = { "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH",
		"X" };
	struct url u;
	struct err e;
	if (url_parse(&u, (struct bytes){ p, n }, &e) < 0) {
		if (e.text[0] == 0)
			abort();
		return;
	}
	if (u.path[0] != '/' || strstr(u.path, "/../") || !url_text_ok(u.path, strlen(u.path)))
		abort();
	for (size_t i = 0; i < u.nparams; i++)
		if (!url_param(&u, u.params[i].key, 0))
			abort();
	for (size_t i = 0; i < countof(methods); i++) {
		const struct route *route;
		char param[CALL_PARAMS_MAX][CALL_PARAM_SIZE], allow[64];
		if (route_find(methods[i], u.path, &route, param, allow) && !route && !allow[0])
			abort();
	}
	url_done(&u);
}

static void check_body(const struct schema *s, const char *p, size_t n)
{
	struct err e;
	cleanup_json json_t *j = NULL;
	if (json_parse(p, n, &j, &e) < 0)
		return;
	for (int closed = 0; closed < 2; closed++) {
		struct schema_warnings w = { 0 };
		e.text[0] = 0;
		if (schema_check(s, j, closed, &w, &e) < 0 && !e.text[0])
			abort();
		for (size_t i = 0; i < w.count && i < SCHEMA_WARNINGS_MAX; i++)
			if (strlen(w.text[i]) >= sizeof(w.text[i]))
				abort();
	}
	json_decref(lease_show(j));
	if (lease_judge(j, "000000000000", 0) == LEASE_FREE)
		abort();
}

static void check_texts(const char *p, size_t n)
{
	char *text = strndup(p, n);
	if (!text)
		return;
	json_decref(image_ref_show(text, ""));
	json_decref(inside_split(text));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct schema *const schemas[] = { &schema_app_create, &schema_machine_create,
		&schema_machine_update, &schema_stop, &schema_signal, &schema_exec, &schema_lease,
		&schema_metadata, &schema_metadata_value, &schema_deploy, &schema_rollback,
		&schema_scale };
	if (size < 1)
		return 0;
	const char *p = (const char *)data + 1;
	switch (data[0] % (countof(schemas) + 2)) {
	case countof(schemas): check_url(p, size - 1); break;
	case countof(schemas) + 1: check_texts(p, size - 1); break;
	default: check_body(schemas[data[0] % (countof(schemas) + 2)], p, size - 1);
	}
	return 0;
}
