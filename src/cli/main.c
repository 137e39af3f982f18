#include "cli/api.h"
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/out.h"
#include <signal.h>

int main(int argc, char **argv)
{
	static struct cli c; /* zero */
	struct err e = { 0 };
	bool help = false;
	signal(SIGPIPE, SIG_IGN);
	out_init();
	if (argc < 2) {
		help_all();
		return EXIT_USAGE;
	}
	if (streq(argv[1], "--help") || streq(argv[1], "-h")) {
		help_all();
		return EXIT_OK;
	}
	if (cli_parse(&c, argc - 1, argv + 1, &help, &e) < 0) {
		out_error(&e);
		return EXIT_USAGE;
	}
	if (help) {
		help_command(c.command);
		return EXIT_OK;
	}
	int r = c.command->run(&c, &e);
	api_close(c.api);
	if (r < 0) {
		out_error(&e);
		return cli_exit_of(e.code);
	}
	if (fflush(stdout) == EOF && errno != EPIPE) {
		err_sys(&e, errno, "writing the output");
		out_error(&e);
		return EXIT_ERROR;
	}
	return r;
}
