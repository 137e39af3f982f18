#include "cli/cli.h"
#include "cli/api.h"
#include "cli/settings.h"
#include "proto/fly_units.h"

const struct cli_option common_options[] = {
	{ "json", 0, NULL, "data as JSON on stdout" },
	{ "help", 'h', NULL, "explain the command" },
	OPTION_END,
};

int cli_exit_of(enum err_code code)
{
	switch (code) {
	case ERR_NOT_FOUND:
	case ERR_IMAGE_MISSING: return EXIT_NOT_FOUND;
	case ERR_UNAUTHENTICATED:
	case ERR_FORBIDDEN: return EXIT_DENIED;
	case ERR_CONFLICT:
	case ERR_NAME_TAKEN:
	case ERR_PRECONDITION: return EXIT_CONFLICT;
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT: return EXIT_UNAVAILABLE;
	case ERR_DEPLOY_FAILED: return EXIT_DEPLOY;
	case ERR_TOML:
	case ERR_UNKNOWN_KEY:
	case ERR_UNSUPPORTED: return EXIT_FILE;
	default: return EXIT_ERROR;
	}
}

const struct command *cli_find(const char *name)
{
	for (const struct command *const *k = commands; *k; k++)
		if (streq((*k)->name, name))
			return *k;
	return NULL;
}

/* "machines" for "machine", "app" for "apps": people type both. */
static const char *canonical(const char *word)
{
	static const char *const pairs[][2] = { { "machines", "machine" }, { "m", "machine" },
		{ "app", "apps" }, { "release", "releases" }, { "log", "logs" },
		{ "--version", "version" }, { "-v", "version" }, { "ls", "list" },
		{ "rm", "destroy" }, { "kill", "kill" } };
	for (size_t i = 0; i < countof(pairs); i++)
		if (streq(word, pairs[i][0]))
			return pairs[i][1];
	return word;
}

/* The longest command that the leading words name; *ret_words is how many they were. */
static const struct command *find_words(int argc, char **argv, int *ret_words)
{
	char name[64];
	for (int words = 3; words > 0; words--) {
		name[0] = 0;
		size_t at = 0;
		for (int i = 0; i < words && i < argc; i++)
			at += (size_t)snprintf(name + at, at < sizeof(name) ? sizeof(name) - at : 0,
			    "%s%s", i ? " " : "", canonical(argv[i]));
		const struct command *k =
		    words <= argc && at < sizeof(name) ? cli_find(name) : NULL;
		if (k) {
			*ret_words = words;
			return k;
		}
	}
	return NULL;
}

static bool is_group(const char *word)
{
	size_t n = strlen(word);
	for (const struct command *const *k = commands; *k; k++)
		if (!strncmp((*k)->name, word, n) && (*k)->name[n] == ' ')
			return true;
	return false;
}

static int unknown_command(int argc, char **argv, struct err *e)
{
	char typed[64], nearest[64] = "";
	const char *first = canonical(argv[0]);
	bool group = is_group(first);
	if (group && argc < 2) {
		err_set(e, ERR_INVALID, "`ward %.40s` needs one more word", first);
		err_next(e, "see `ward help %.40s`", first);
		return -EINVAL;
	}
	snprintf(typed, sizeof(typed), "%.30s%s%.30s", first, group ? " " : "",
	    group ? canonical(argv[1]) : "");
	unsigned best = 4;
	for (const struct command *const *k = commands; *k; k++) {
		char name[64];
		str_copy(name, sizeof(name), (*k)->name);
		if (!group)
			name[strcspn(name, " ")] = 0;
		unsigned d = str_distance(typed, name);
		if (d < best) {
			best = d;
			memcpy(nearest, name, sizeof(nearest));
		}
	}
	err_set(e, ERR_INVALID, "there is no command `ward %s`", typed);
	if (*nearest)
		err_next(e, "did you mean `ward %s`?", nearest);
	else
		err_next(e, "`ward help` lists the commands");
	return -EINVAL;
}

static const struct cli_option *find_option(
    const struct command *k, const char *name, size_t len, char letter)
{
	const struct cli_option *lists[] = { k->options, common_options };
	for (size_t i = 0; i < countof(lists); i++)
		for (const struct cli_option *o = lists[i]; o && o->name; o++)
			if (name ? strlen(o->name) == len && !strncmp(o->name, name, len)
				 : o->letter == letter)
				return o;
	return NULL;
}

static int unknown_option(const struct command *k, const char *typed, struct err *e)
{
	const struct cli_option *lists[] = { k->options, common_options };
	const char *nearest = NULL;
	unsigned best = 4;
	for (size_t i = 0; i < countof(lists); i++)
		for (const struct cli_option *o = lists[i]; o && o->name; o++) {
			unsigned d = str_distance(typed + strspn(typed, "-"), o->name);
			if (d < best) {
				best = d;
				nearest = o->name;
			}
		}
	err_set(e, ERR_INVALID, "`ward %s` has no option %.40s", k->name, typed);
	if (nearest)
		err_next(
		    e, "did you mean --%s? `ward help %s` lists the options", nearest, k->name);
	else
		err_next(e, "`ward help %s` lists the options", k->name);
	return -EINVAL;
}

/* argv[*i] begins with a dash. Moves *i past a separate value. */
static int parse_option(struct cli *c, int argc, char **argv, int *i, struct err *e)
{
	const char *word = argv[*i], *value = NULL;
	const struct cli_option *o;
	if (word[1] == '-') {
		size_t len = strcspn(word + 2, "=");
		o = find_option(c->command, word + 2, len, 0);
		if (word[2 + len])
			value = word + 2 + len + 1;
	} else {
		o = find_option(c->command, NULL, 0, word[1]);
		if (word[2])
			value = word + 2;
	}
	if (!o)
		return unknown_option(c->command, word, e);
	if (!o->arg && value)
		return err_set(e, ERR_INVALID, "--%s takes no value", o->name);
	if (o->arg && !value) {
		if (*i + 1 >= argc)
			return err_set(e, ERR_INVALID, "--%s needs a value: %s", o->name, o->arg);
		value = argv[++*i];
	}
	if (c->ngiven == CLI_GIVEN_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %d options", CLI_GIVEN_MAX);
	c->given[c->ngiven++] = (struct cli_given){ o, value ? value : "" };
	return 0;
}

int cli_parse(struct cli *c, int argc, char **argv, bool *ret_help, struct err *e)
{
	int words = 0;
	c->command = find_words(argc, argv, &words);
	if (!c->command)
		return unknown_command(argc, argv, e);
	bool options = true;
	for (int i = words; i < argc; i++) {
		if (options && streq(argv[i], "--")) {
			options = false;
			continue;
		}
		if (options && argv[i][0] == '-' && argv[i][1]) {
			int r = parse_option(c, argc, argv, &i, e);
			if (r < 0)
				return r;
			continue;
		}
		if (c->nargs == CLI_ARGS_MAX)
			return err_set(e, ERR_TOO_LARGE, "more than %d arguments", CLI_ARGS_MAX);
		c->args[c->nargs++] = argv[i];
		if (c->command->stop_after && c->nargs > c->command->stop_after)
			options = false;
	}
	*ret_help = cli_opt(c, "help");
	c->json = cli_opt(c, "json");
	if (*ret_help || (c->nargs >= c->command->min_args && c->nargs <= c->command->max_args))
		return 0;
	err_set(e, ERR_INVALID,
	    c->nargs < c->command->min_args ? "`ward %s` needs more: %s"
					    : "`ward %s` takes no more than: %s",
	    c->command->name, *c->command->args ? c->command->args : "no arguments");
	err_next(e, "see `ward help %s`", c->command->name);
	return -EINVAL;
}

const char *cli_opt(const struct cli *c, const char *name)
{
	for (unsigned i = c->ngiven; i > 0; i--)
		if (streq(c->given[i - 1].option->name, name))
			return c->given[i - 1].value;
	return NULL;
}

const char *cli_opt_n(const struct cli *c, const char *name, unsigned n)
{
	for (unsigned i = 0; i < c->ngiven; i++)
		if (streq(c->given[i].option->name, name) && n-- == 0)
			return c->given[i].value;
	return NULL;
}

int cli_opt_int(
    const struct cli *c, const char *name, int64_t min, int64_t max, int64_t *ret, struct err *e)
{
	const char *s = cli_opt(c, name);
	uint64_t n;
	if (!s)
		return 0;
	if (!str_u64(s, (uint64_t)max, &n) || (int64_t)n < min)
		return err_set(e, ERR_INVALID, "--%s must be a number between %lld and %lld", name,
		    (long long)min, (long long)max);
	*ret = (int64_t)n;
	return 0;
}

int cli_opt_duration_s(const struct cli *c, const char *name, int64_t *ret, struct err *e)
{
	const char *s = cli_opt(c, name);
	uint64_t n;
	int64_t ms;
	if (!s)
		return 0;
	if (str_u64(s, 86400, &n))
		*ret = (int64_t)n;
	else if (fly_duration_ms(s, &ms))
		*ret = (ms + 999) / 1000;
	else
		return err_set(e, ERR_INVALID, "--%s must be a duration such as 30s or 2m", name);
	return 0;
}

int cli_api(struct cli *c, struct api **ret, struct err *e)
{
	if (!c->api) {
		struct settings s;
		int r = settings_load(&s, e);
		if (r == 0)
			r = api_open(&s, &c->api, e);
		settings_wipe(&s);
		if (r < 0)
			return r;
	}
	*ret = c->api;
	return 0;
}
