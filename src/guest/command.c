#include "guest/command.h"
#include "base/str.h"
#include <string.h>

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void strv_free(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

static size_t strv_len(char *const *v)
{
	size_t n = 0;
	while (v && v[n])
		n++;
	return n;
}

const char *env_get(char *const *env, const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; env && env[i]; i++)
		if (!strncmp(env[i], name, len) && env[i][len] == '=')
			return env[i] + len + 1;
	return NULL;
}

bool env_set(char ***env, const char *name, const char *value)
{
	char *line;
	if (asprintf(&line, "%s=%s", name, value) < 0)
		return false;
	size_t len = strlen(name), n = strv_len(*env);
	for (size_t i = 0; i < n; i++)
		if (!strncmp((*env)[i], line, len + 1)) {
			free((*env)[i]);
			(*env)[i] = line;
			return true;
		}
	char **more = reallocarray(*env, n + 2, sizeof *more);
	if (!more) {
		free(line);
		return false;
	}
	more[n] = line;
	more[n + 1] = NULL;
	*env = more;
	return true;
}

char **env_copy(char *const *env)
{
	size_t n = strv_len(env);
	char **copy = calloc(n + 1, sizeof *copy);
	for (size_t i = 0; copy && i < n; i++)
		if (!(copy[i] = strdup(env[i]))) {
			strv_free(copy);
			return NULL;
		}
	return copy;
}

static bool add_args(char **argv, size_t *n, const json_t *array)
{
	size_t i;
	json_t *v;
	json_array_foreach (array, i, v)
		if (!(argv[(*n)++] = strdup(json_string_value(v))))
			return false;
	return true;
}

static int plan_argv(const struct runconf *c, char ***ret, struct err *e)
{
	const json_t *entry = c->image_entrypoint, *cmd = c->image_cmd;
	if (json_array_size(c->exec)) {
		entry = c->exec;
		cmd = NULL;
	} else {
		if (json_array_size(c->entrypoint)) {
			entry = c->entrypoint;
			cmd = NULL;
		}
		if (json_array_size(c->cmd))
			cmd = c->cmd;
	}
	size_t n = 0;
	char **argv = calloc(json_array_size(entry) + json_array_size(cmd) + 1, sizeof *argv);
	if (!argv || !add_args(argv, &n, entry) || !add_args(argv, &n, cmd)) {
		strv_free(argv);
		return err_set(e, ERR_NO_MEMORY, "no memory for the command");
	}
	if (!n || !*argv[0]) {
		strv_free(argv);
		return err_set(e, ERR_INVALID,
		    "nothing to run: the image has no entrypoint and no cmd, and the config gives "
		    "none");
	}
	*ret = argv;
	return 0;
}

static bool plan_env(const struct runconf *c, char ***env)
{
	const char *key;
	json_t *v;
	size_t i;
	if (!env_set(env, "PATH", PATH_DEFAULT))
		return false;
	json_array_foreach (c->image_env, i, v) {
		/* "NAME=value"; a bare NAME, which old builders wrote, means nothing here */
		const char *line = json_string_value(v), *eq = strchr(line, '=');
		cleanup_free char *name =
		    eq && eq > line ? strndup(line, (size_t)(eq - line)) : NULL;
		if (name && !env_set(env, name, eq + 1))
			return false;
	}
	json_object_foreach (c->env, key, v)
		if (!env_set(env, key, json_string_value(v)))
			return false;
	return !c->tty || env_get(*env, "TERM") || env_set(env, "TERM", "xterm");
}

int command_plan(const struct runconf *c, struct command *ret, struct err *e)
{
	struct command cmd = { 0 };
	int r = plan_argv(c, &cmd.argv, e);
	if (r < 0)
		return r;
	if (!plan_env(c, &cmd.env)) {
		command_done(&cmd);
		return err_set(e, ERR_NO_MEMORY, "no memory for the environment");
	}
	*ret = cmd;
	return 0;
}

void command_done(struct command *c)
{
	strv_free(c->argv);
	strv_free(c->env);
	*c = (struct command){ 0 };
}
