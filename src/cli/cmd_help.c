/* Help, and the man page, from the table. */
#include "cli/help.h"
#include "cli/out.h"

static const char intro[] = "Ward runs container images as virtual machines behind an HTTPS edge.";

static const struct {
	const char *name, *text;
} environment[] = {
	{ "WARD_API_URL", "where the API is: https://api.ward.localhost:8443 or "
			  "unix:///run/ward/api.sock (FLY_FLAPS_BASE_URL is accepted too)" },
	{ "WARD_API_TOKEN", "the token (FLY_API_TOKEN is accepted too)" },
	{ "WARD_CA_FILE", "the platform's CA, to check its certificate with" },
	{ "WARD_APP", "the app that commands are about" },
	{ "NO_COLOR", "if set, no colours" },
};

static const struct {
	enum cli_exit code;
	const char *text;
} exits[] = {
	{ EXIT_OK, "done" },
	{ EXIT_ERROR, "failed; the code in brackets says why" },
	{ EXIT_USAGE, "the command was wrongly written" },
	{ EXIT_NOT_FOUND, "there is no such app, machine or image" },
	{ EXIT_DENIED, "no valid token, or it may not do this" },
	{ EXIT_CONFLICT, "it exists already, or was changed meanwhile" },
	{ EXIT_UNAVAILABLE, "the platform did not answer, or not in time" },
	{ EXIT_DEPLOY, "the deploy failed; the old version goes on serving" },
	{ EXIT_FILE, "the app's file has an error" },
};

static void print_option(const struct cli_option *o)
{
	char name[64];
	snprintf(name, sizeof(name), "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
	    o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name, o->arg ? " " : "",
	    o->arg ? o->arg : "");
	printf("  %-30s %s\n", name, o->help);
}

void help_command(const struct command *k)
{
	printf("ward %s: %s\n\nusage: ward %s%s%s [options]\n", k->name, k->summary, k->name,
	    k->args && *k->args ? " " : "", k->args ? k->args : "");
	if (k->text)
		printf("\n%s\n", k->text);
	puts("\noptions:");
	for (const struct cli_option *o = k->options; o && o->name; o++)
		print_option(o);
	for (const struct cli_option *o = common_options; o->name; o++)
		print_option(o);
}

/* The commands whose name is this word or begins with it; all for NULL. */
static unsigned list(const char *group)
{
	unsigned n = 0;
	size_t len = group ? strlen(group) : 0;
	for (const struct command *const *k = commands; *k; k++) {
		if (group && (strncmp((*k)->name, group, len) != 0 ||
				 ((*k)->name[len] && (*k)->name[len] != ' ')))
			continue;
		printf("  %-26s %s\n", (*k)->name, (*k)->summary);
		n++;
	}
	return n;
}

void help_all(void)
{
	printf("%s\n\nusage: ward COMMAND [arguments] [options]\n\n", intro);
	list(NULL);
	puts("\n`ward help COMMAND` explains one; `man ward` all. Every command has --json.");
}

/* roff: a leading dot or quote and every backslash and dash need an escape. */
static void roff(const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", stdout);
	for (; *s; s++) {
		if (*s == '\\' || *s == '-')
			putchar('\\');
		putchar(*s == '\\' ? 'e' : *s);
	}
}

static void roff_option(const struct cli_option *o)
{
	fputs(".TP\n\\fB", stdout);
	if (o->letter)
		printf("\\-%c\\fR, \\fB", o->letter);
	fputs("\\-\\-", stdout);
	roff(o->name);
	fputs("\\fR", stdout);
	if (o->arg)
		printf(" \\fI%s\\fR", o->arg);
	putchar('\n');
	roff(o->help);
	putchar('\n');
}

void help_man(void)
{
	puts(".TH WARD 1 \"\" \"ward " WARD_VERSION
	     "\" \"User Commands\"\n.SH NAME\nward \\- deploy and look after apps\n.SH SYNOPSIS\n"
	     ".B ward\n\\fICOMMAND\\fR [arguments] [options]\n.SH DESCRIPTION");
	roff(intro);
	puts("\nData goes to the standard output, everything else to the standard error. An error "
	     "is told as\n.B error: sentence [code]\nand\n.B next: step\n.SH COMMANDS");
	for (const struct command *const *k = commands; *k; k++) {
		fputs(".SS ward ", stdout);
		roff((*k)->name);
		putchar(' ');
		roff((*k)->args);
		putchar('\n');
		roff((*k)->summary);
		puts(".");
		if ((*k)->text) {
			puts(".PP");
			roff((*k)->text);
			putchar('\n');
		}
		for (const struct cli_option *o = (*k)->options; o && o->name; o++)
			roff_option(o);
	}
	puts(".SH OPTIONS OF EVERY COMMAND");
	for (const struct cli_option *o = common_options; o->name; o++)
		roff_option(o);
	puts(".SH EXIT STATUS");
	for (size_t i = 0; i < countof(exits); i++) {
		printf(".TP\n%d\n", exits[i].code);
		roff(exits[i].text);
		putchar('\n');
	}
	puts(".SH ENVIRONMENT");
	for (size_t i = 0; i < countof(environment); i++) {
		printf(".TP\n.B %s\n", environment[i].name);
		roff(environment[i].text);
		putchar('\n');
	}
	puts(".SH FILES\n.TP\n.I fly.toml\nthe app's file in its folder (\n.I ward.toml\nis taken "
	     "too)\n.TP\n.I ~/.config/ward/config.toml\n"
	     "url, token, ca, ca_sha256; it must have the mode 0600");
}

static int run(struct cli *c, struct err *e)
{
	char name[64] = "";
	size_t at = 0;
	if (cli_opt(c, "man")) {
		help_man();
		return 0;
	}
	for (unsigned i = 0; i < c->nargs && at < sizeof(name); i++)
		at += (size_t)snprintf(
		    name + at, sizeof(name) - at, "%s%s", i ? " " : "", c->args[i]);
	const struct command *k = c->nargs ? cli_find(name) : NULL;
	if (!c->nargs) {
		help_all();
	} else if (k) {
		help_command(k);
	} else if (!list(name)) {
		err_set(e, ERR_INVALID, "there is no command `ward %.60s`", name);
		err_next(e, "`ward help` lists the commands");
		return -EINVAL;
	}
	return 0;
}

const struct command cmd_help = {
	.name = "help",
	.args = "[COMMAND]",
	.summary = "list the commands, or explain one",
	.max_args = 3,
	.options =
	    (const struct cli_option[]){
		{ "man", 0, NULL, "the whole as a man page (roff)" }, OPTION_END },
	.run = run,
};
