#include "../unit.h"
#include "api/routes.h"
#include "base/str.h"

static const struct route *route;
static char param[CALL_PARAMS_MAX][CALL_PARAM_SIZE], allow[64];

static void finds_operations_and_their_parameters(void **state)
{
	assert_true(route_find("GET", "/v1/apps", &route, param, allow));
	assert_string_equal(route->operation, "Apps_list");
	assert_true(route_find(
	    "POST", "/v1/apps/web/machines/0123456789abcd/metadata/k", &route, param, allow));
	assert_string_equal(route->operation, "Machines_upsert_metadata");
	assert_string_equal(param[0], "web");
	assert_string_equal(param[1], "0123456789abcd");
	assert_string_equal(param[2], "k");
	assert_true(route_find("POST", "/v1/apps/web/releases/rollback", &route, param, allow));
	assert_string_equal(route->operation, "Releases_rollback");
	assert_true(route_find("PUT", "/v1/blobs/sha256:00", &route, param, allow));
	assert_true(route->flags & ROUTE_STREAM);
}

static void tells_unknown_paths_from_wrong_methods(void **state)
{
	assert_true(route_find("PATCH", "/v1/apps/web/scale", &route, param, allow));
	assert_null(route);
	assert_string_equal(allow, "GET, POST");
	static const char *const none[] = { "/", "/v1", "/v2/apps", "/v1/apps/web/nothing",
		"/v1/apps/", "/v1/apps/web/machines/a/start/now", "/v1/app" };
	for (size_t i = 0; i < countof(none); i++) {
		assert_false(route_find("GET", none[i], &route, param, allow));
		assert_null(route);
	}
}

static void a_parameter_that_does_not_fit_matches_nothing(void **state)
{
	char path[CALL_PARAM_SIZE + 32];
	snprintf(path, sizeof(path), "/v1/apps/%0*d", CALL_PARAM_SIZE, 1);
	assert_false(route_find("GET", path, &route, param, allow));
	snprintf(path, sizeof(path), "/v1/apps/%0*d", CALL_PARAM_SIZE - 1, 1);
	assert_true(route_find("GET", path, &route, param, allow));
}

/* The table keeps what the router relies on. */
static void the_table_is_in_order(void **state)
{
	for (size_t i = 0; i < routes_count; i++) {
		const struct route *r = &routes[i];
		assert_non_null(r->handle);
		assert_true(str_starts(r->pattern, "/v1/"));
		bool changes = r->right == RIGHT_CHANGE;
		if (streq(r->method, "GET") && changes)
			fail_msg("%s changes by GET", r->operation);
		/* A body is taken whole by a schema, or streamed; never read without one. */
		if ((streq(r->method, "POST") || streq(r->method, "PUT") ||
			streq(r->method, "PATCH")) &&
		    !r->body && !(r->flags & ROUTE_STREAM) && !strstr(r->pattern, "exec-stream"))
			fail_msg("%s has no schema", r->operation);
		for (size_t k = i + 1; k < routes_count; k++) {
			if (streq(routes[k].operation, r->operation))
				fail_msg("two operations %s", r->operation);
			if (streq(routes[k].pattern, r->pattern) &&
			    !streq(routes[k - 1].pattern, r->pattern))
				fail_msg("rows of %s do not stand together", r->pattern);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_operations_and_their_parameters),
		cmocka_unit_test(tells_unknown_paths_from_wrong_methods),
		cmocka_unit_test(a_parameter_that_does_not_fit_matches_nothing),
		cmocka_unit_test(the_table_is_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
