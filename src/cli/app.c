#include "cli/app.h"
#include "base/file.h"
#include "base/id.h"
#include "cli/api.h"
#include "cli/out.h"
#include "proto/conf.h"
#include <fcntl.h>

static const char *const file_names[] = { "fly.toml", "ward.toml" };

/* Opens and reads the app's file. *ret_name is what to call it in errors. */
static int read_file(
    struct cli *c, const char **ret_name, char **ret, size_t *ret_len, struct err *e)
{
	const char *given = cli_opt(c, "config");
	if (given) {
		*ret_name = given;
		return file_read(AT_FDCWD, given, TOML_BYTES_MAX, ret, ret_len, e);
	}
	for (size_t i = 0; i < countof(file_names); i++)
		if (access(file_names[i], F_OK) == 0) {
			*ret_name = file_names[i];
			return file_read(AT_FDCWD, file_names[i], TOML_BYTES_MAX, ret, ret_len, e);
		}
	err_set(e, ERR_NOT_FOUND, "there is no fly.toml (or ward.toml) in this folder");
	err_next(e, "`ward launch` writes one; or name a file with --config");
	return -ENOENT;
}

/* Only `app` is wanted here, so a file with keys that cannot be deployed yet still names its app.
 */
static int name_from_file(struct cli *c, char ret[64], struct err *e)
{
	cleanup_free char *text = NULL;
	size_t len;
	const char *file, *app = NULL;
	int r = read_file(c, &file, &text, &len, e);
	if (r < 0)
		return r;
	cleanup_toml struct toml doc = { 0 };
	r = toml_parse(text, len, &doc, e);
	struct conf root;
	if (r == 0) {
		conf_root(&root, &doc);
		r = conf_str(&root, "app", &app, e);
	}
	if (r == 0 && app && !str_copy(ret, 64, app))
		r = err_set(e, ERR_INVALID, "the app's name is too long");
	return r < 0 ? err_prefix(e, r, "%.100s", file) : 0;
}

int app_name_maybe(struct cli *c, char ret[64], struct err *e)
{
	const char *s = cli_opt(c, "app");
	ret[0] = 0;
	if (!s)
		s = getenv("WARD_APP");
	if (!s || !*s)
		s = getenv("FLY_APP");
	if (!s || !*s) {
		struct err why = { 0 };
		int r = name_from_file(c, ret, &why);
		if (r == -ENOENT && !cli_opt(c, "config"))
			return 0;
		if (r < 0 && e)
			*e = why;
		return r;
	}
	if (!str_is_name(s, 63) || !str_copy(ret, 64, s))
		return err_set(e, ERR_INVALID,
		    "\"%.60s\" is not an app's name: lower-case letters, digits and '-'", s);
	return 0;
}

int app_name(struct cli *c, char ret[64], struct err *e)
{
	int r = app_name_maybe(c, ret, e);
	if (r < 0 || *ret)
		return r;
	err_set(e, ERR_INVALID, "which app is not said");
	err_next(e, "name it with --app, or run this in a folder whose fly.toml names it");
	return -EINVAL;
}

static int read_local(
    void *arg, const char *path, size_t max, char **ret, size_t *ret_len, struct err *e)
{
	return file_read(*(int *)arg, path, max, ret, ret_len, e);
}

int app_file(struct cli *c, struct fly_config *ret, struct err *e)
{
	cleanup_free char *text = NULL;
	size_t len;
	const char *file;
	int r = read_file(c, &file, &text, &len, e);
	if (r < 0)
		return r;
	char folder[512] = ".";
	const char *slash = strrchr(file, '/');
	if (slash &&
	    (size_t)(slash - file) < sizeof(folder) - 1) /* local_path is relative to the file */
		snprintf(
		    folder, sizeof(folder), "%.*s", slash == file ? 1 : (int)(slash - file), file);
	cleanup_close int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, errno, "opening %s", folder);
	struct fly_files files = { .read = read_local, .arg = &dir };
	r = fly_config_parse(text, len, &files, ret, e);
	if (r < 0)
		return err_prefix(e, r, "%.100s", file);
	size_t i;
	json_t *w;
	json_array_foreach (ret->warnings, i, w)
		out_say("warning: %s: %s", file, json_string_value(w));
	return 0;
}

int app_list(struct cli *c, json_t **ret, struct err *e)
{
	struct api *api = NULL;
	int r = cli_api(c, &api, e);
	cleanup_json json_t *answer = NULL;
	if (r == 0)
		r = api_call(api, "GET", "/v1/apps", NULL, 0, &answer, e);
	if (r < 0)
		return r;
	json_t *apps = json_object_get(answer, "apps");
	if (!json_is_array(apps))
		return err_set(e, ERR_PROTOCOL, "the API's answer has no list of apps");
	*ret = json_incref(apps);
	return 0;
}

int app_machines(struct cli *c, const char *app, json_t **ret, struct err *e)
{
	struct api *api = NULL;
	cleanup_buf struct buf path;
	buf_init(&path, 256);
	int r = cli_api(c, &api, e);
	if (r == 0 && api_path(&path, "/v1/apps/%s/machines", app) < 0)
		r = err_set(e, ERR_NO_MEMORY, "no memory for a request");
	cleanup_json json_t *answer = NULL;
	if (r == 0)
		r = api_call(api, "GET", path.data, NULL, 0, &answer, e);
	if (r < 0)
		return r;
	if (!json_is_array(answer))
		return err_set(e, ERR_PROTOCOL, "the API's answer is no list of machines");
	*ret = json_incref(answer);
	return 0;
}

static int find_machine(struct cli *c, const char *id, char app[64], struct err *e)
{
	cleanup_json json_t *apps = NULL;
	int r = app_list(c, &apps, e);
	for (size_t i = 0; r == 0 && i < json_array_size(apps); i++) {
		const char *name = text_of(json_array_get(apps, i), "name");
		cleanup_json json_t *machines = NULL;
		r = app_machines(c, name, &machines, e);
		if (r == -ENOENT) { /* the app went away meanwhile */
			r = 0;
			continue;
		}
		for (size_t k = 0; k < json_array_size(machines); k++)
			if (streq(text_of(json_array_get(machines, k), "id"), id) &&
			    str_copy(app, 64, name))
				return 0;
	}
	if (r < 0)
		return r;
	err_set(e, ERR_NOT_FOUND, "there is no machine %s in any app", id);
	err_next(e, "`ward machine list --app NAME` lists an app's machines");
	return -ENOENT;
}

int machine_path(struct cli *c, const char *id, struct buf *path, struct err *e)
{
	char app[64];
	if (!id_is_machine(id)) {
		err_set(
		    e, ERR_INVALID, "\"%.40s\" is not a machine's id: 14 hexadecimal digits", id);
		err_next(e, "`ward machine list` shows the ids");
		return -EINVAL;
	}
	const char *env = getenv("WARD_APP");
	int r =
	    cli_opt(c, "app") || (env && *env) ? app_name(c, app, e) : find_machine(c, id, app, e);
	if (r == 0 && api_path(path, "/v1/apps/%s/machines/%s", app, id) < 0)
		r = err_set(e, ERR_NO_MEMORY, "no memory for a request");
	return r;
}

int app_confirm(const struct cli *c, struct err *e, const char *fmt, ...)
{
	if (cli_opt(c, "yes") || cli_opt(c, "force"))
		return 0;
	char what[200], answer[16] = "";
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		err_set(e, ERR_INVALID, "this would %s, and there is no terminal to ask", what);
		err_next(e, "say it again with --yes");
		return -EINVAL;
	}
	fprintf(stderr, "This will %s. Type yes to go on: ", what);
	if (fgets(answer, sizeof(answer), stdin) && streq(answer, "yes\n"))
		return 0;
	return err_set(e, ERR_INVALID, "nothing was changed");
}
