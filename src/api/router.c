#include "api/routes.h"
#include "base/str.h"

static bool matches(
    const char *pattern, const char *path, char param[CALL_PARAMS_MAX][CALL_PARAM_SIZE])
{
	size_t params = 0;
	while (*pattern == '/' && *path == '/') {
		pattern++;
		path++;
		size_t n = strcspn(pattern, "/"), m = strcspn(path, "/");
		if (*pattern == '{') {
			if (params == CALL_PARAMS_MAX || m == 0 || m >= CALL_PARAM_SIZE)
				return false;
			memcpy(param[params], path, m);
			param[params++][m] = 0;
		} else if (n != m || memcmp(pattern, path, n) != 0) {
			return false;
		}
		pattern += n;
		path += m;
	}
	return !*pattern && !*path;
}

bool route_find(const char *method, const char *path, const struct route **ret,
    char param[CALL_PARAMS_MAX][CALL_PARAM_SIZE], char allow[64])
{
	bool is_path = false;
	const char *pattern = NULL;
	*ret = NULL;
	allow[0] = 0;
	for (size_t i = 0; i < routes_count; i++) {
		const struct route *r = &routes[i];
		if (!matches(r->pattern, path, param))
			continue;
		/* A word in the table wins over braces of a later row ("releases/rollback"). */
		if (pattern && !streq(pattern, r->pattern))
			break;
		pattern = r->pattern;
		is_path = true;
		if (streq(r->method, method)) {
			*ret = r;
			return true;
		}
		size_t n = strlen(allow);
		snprintf(allow + n, 64 - n, "%s%s", n ? ", " : "", r->method);
	}
	return is_path;
}
