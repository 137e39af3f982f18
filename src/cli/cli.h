/* The command line: one table of commands, from which dispatch, help, completions and the man page
 * come. */
#pragma once
#include "base/json.h"
#include "base/str.h"

enum { CLI_OPTIONS_MAX = 16, CLI_GIVEN_MAX = 128, CLI_ARGS_MAX = 256 };

struct cli_option {
	const char *name; /* NULL ends a list */
	char letter;      /* 0: none */
	const char *arg;  /* what it takes; NULL: a flag */
	const char *help;
};

struct cli;
struct command {
	const char *name; /* "machine list" */
	const char *args; /* "MACHINE [COMMAND...]"; "" for none */
	const char *summary;
	const char *text; /* more for help and the man page; may be NULL */
	unsigned min_args, max_args;
	unsigned stop_after; /* after so many arguments nothing is an option any more (commands to
				run); 0: never */
	const struct cli_option *options;
	int (*run)(struct cli *c,
	    struct err
		*e); /* 0, a negative errno, or an exit code above 0 (nothing more is printed) */
};

struct cli_given {
	const struct cli_option *option;
	const char *value;
};

struct api;
struct cli {
	const struct command *command;
	const char *args[CLI_ARGS_MAX];
	unsigned nargs;
	struct cli_given given[CLI_GIVEN_MAX];
	unsigned ngiven;
	bool json;
	struct api *api; /* opened at first use: cli_api */
};

extern const struct command *const commands[]; /* NULL ends it */
extern const struct cli_option common_options[];

/* Exit codes: stable, documented in the man page. */
enum cli_exit {
	EXIT_OK = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_FOUND = 3,
	EXIT_DENIED = 4,
	EXIT_CONFLICT = 5,
	EXIT_UNAVAILABLE = 6,
	EXIT_DEPLOY = 7,
	EXIT_FILE = 8, /* the app's file: TOML, unknown or unsupported keys */
};
int cli_exit_of(enum err_code code);

/* Options of the running command: the last value given, "" for a flag, NULL if it was not given. */
const char *cli_opt(const struct cli *c, const char *name);
/* Number n of a repeatable option; NULL past the last. */
const char *cli_opt_n(const struct cli *c, const char *name, unsigned n);
int cli_opt_int(const struct cli *c, const char *name, int64_t min, int64_t max, int64_t *ret,
    struct err *e) must_check;
int cli_opt_duration_s(
    const struct cli *c, const char *name, int64_t *ret, struct err *e) must_check;

/* Parses argv against the table. ERR_INVALID with a remedy; *ret_help: help was asked for. */
int cli_parse(struct cli *c, int argc, char **argv, bool *ret_help, struct err *e) must_check;
const struct command *cli_find(const char *name);

int cli_api(struct cli *c, struct api **ret, struct err *e) must_check;

#define OPTION_APP                                                                                 \
	{                                                                                          \
		"app", 'a', "NAME", "the app (default: WARD_APP, or the one that fly.toml names)"  \
	}
#define OPTION_CONFIG                                                                              \
	{                                                                                          \
		"config", 'c', "FILE", "the app's file (default: fly.toml or ward.toml here)"      \
	}
#define OPTION_YES                                                                                 \
	{                                                                                          \
		"yes", 'y', NULL, "do not ask"                                                     \
	}
#define OPTION_DETACH                                                                              \
	{                                                                                          \
		"detach", 0, NULL, "do not wait for the end"                                       \
	}
#define OPTION_END                                                                                 \
	{                                                                                          \
		NULL, 0, NULL, NULL                                                                \
	}
