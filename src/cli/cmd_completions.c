/* Completion scripts, from the table: words of a command, then its options. */
#include "cli/cli.h"

/* Every distinct word that may follow `prefix` ("" or "machine "). */
static void next_words(const char *prefix, void (*fn)(const char *word, const struct command *k))
{
	char last[64] = "";
	size_t n = strlen(prefix);
	for (const struct command *const *k = commands; *k; k++) {
		char word[64];
		if (strncmp((*k)->name, prefix, n) != 0)
			continue;
		size_t len = strcspn((*k)->name + n, " ");
		if (len >= sizeof(word))
			continue;
		memcpy(word, (*k)->name + n, len);
		word[len] = 0;
		if (!streq(word, last))
			fn(word, *k);
		memcpy(last, word, sizeof(last));
	}
}

static void print_word(const char *word, const struct command *k)
{
	(void)k;
	printf("%s ", word);
}

static void options(const struct command *k)
{
	for (const struct cli_option *o = k->options; o && o->name; o++)
		printf("--%s ", o->name);
	for (const struct cli_option *o = common_options; o && o->name; o++)
		printf("--%s ", o->name);
}

/* Prefixes that have further words: "machine", "machine leases", ... each once. */
static void each_group(void (*fn)(const char *prefix))
{
	char last[64] = "";
	for (const struct command *const *k = commands; *k; k++) {
		const char *name = (*k)->name;
		for (const char *p = strchr(name, ' '); p; p = strchr(p + 1, ' ')) {
			char prefix[64];
			size_t n = (size_t)(p - name);
			if (n >= sizeof(prefix))
				continue;
			memcpy(prefix, name, n);
			prefix[n] = 0;
			if (!streq(prefix, last) && !(str_starts(last, prefix) && last[n] == ' '))
				fn(prefix);
			memcpy(last, prefix, sizeof(last));
		}
	}
}

static void bash_group(const char *prefix)
{
	char with[66];
	snprintf(with, sizeof(with), "%s ", prefix);
	printf("\t\"%s\") words=\"", prefix);
	next_words(with, print_word);
	puts("\" ;;");
}

static void bash(void)
{
	puts("_ward() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} path= words= i\n\tfor ((i = 1; i < "
	     "COMP_CWORD; i++)); do\n"
	     "\t\tcase ${COMP_WORDS[i]} in -*) break ;; esac\n\t\tpath=\"${path:+$path "
	     "}${COMP_WORDS[i]}\"\n\tdone");
	puts("\tcase $path in");
	fputs("\t\"\") words=\"", stdout);
	next_words("", print_word);
	puts("\" ;;");
	each_group(bash_group);
	puts("\tesac\n\tcase $cur in -*)\n\t\tcase $path in");
	for (const struct command *const *k = commands; *k; k++) {
		printf("\t\t\"%s\"*) words=\"", (*k)->name);
		options(*k);
		puts("\" ;;");
	}
	puts("\t\tesac ;;\n\tesac\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	     "\t[ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default\n}\ncomplete -F _ward ward");
}

static void zsh(void)
{
	puts("#compdef ward\nautoload -U +X bashcompinit && bashcompinit");
	bash();
}

/* A double-quoted fish string. */
static void fish_quoted(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (strchr("\"\\$", *s))
			putchar('\\');
		putchar(*s);
	}
	putchar('"');
}

static void fish(void)
{
	puts("function __ward_at\n\tset -l words (commandline -opc)[2..-1]\n\ttest (string join ' "
	     "' -- (string match -v -- '-*' $words)) = \"$argv[1]\"\nend\n"
	     "function __ward_in\n\tset -l words (commandline -opc)[2..-1]\n\tstring match -q -- "
	     "\"$argv[1]*\" (string join ' ' -- $words)\nend");
	for (const struct command *const *k = commands; *k; k++) {
		const char *space = strrchr((*k)->name, ' ');
		printf("complete -c ward -f -n '__ward_at \"%.*s\"' -a %s -d ",
		    space ? (int)(space - (*k)->name) : 0, (*k)->name,
		    space ? space + 1 : (*k)->name);
		fish_quoted((*k)->summary);
		putchar('\n');
		const struct cli_option *lists[] = { (*k)->options, common_options };
		for (size_t i = 0; i < countof(lists); i++)
			for (const struct cli_option *o = lists[i]; o && o->name; o++) {
				printf("complete -c ward -n '__ward_in \"%s\"' -l %s %s-d ",
				    (*k)->name, o->name, o->arg ? "-r " : "");
				fish_quoted(o->help);
				putchar('\n');
			}
	}
}

static int run(struct cli *c, struct err *e)
{
	static const struct {
		const char *name;
		void (*print)(void);
	} shells[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };
	for (size_t i = 0; i < countof(shells); i++)
		if (streq(c->args[0], shells[i].name)) {
			shells[i].print();
			return 0;
		}
	err_set(e, ERR_INVALID, "there are no completions for \"%.40s\"", c->args[0]);
	err_next(e, "the shells are bash, zsh and fish");
	return -EINVAL;
}

const struct command cmd_completions = {
	.name = "completions",
	.args = "bash|zsh|fish",
	.summary = "a completion script for your shell",
	.text = "For bash: ward completions bash > /etc/bash_completion.d/ward",
	.min_args = 1,
	.max_args = 1,
	.options = (const struct cli_option[]){ OPTION_END },
	.run = run,
};
