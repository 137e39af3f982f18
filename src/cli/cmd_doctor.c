/* `ward doctor` is a program of its own (it looks at the host, not at the API); this finds and
 * becomes it. */
#include "cli/cli.h"
#include <limits.h>

static int run(struct cli *c, struct err *e)
{
	char self[PATH_MAX], path[PATH_MAX + 64];
	const char *argv[CLI_ARGS_MAX + 4] = { "ward-doctor" };
	size_t n = 1;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len < 0)
		return err_sys(e, errno, "finding ward's own place");
	self[len] = 0;
	char *slash =
	    strrchr(self, '/'); /* <prefix>/bin/ward, so <prefix>/libexec/ward/ward-doctor */
	if (slash)
		*slash = 0;
	slash = strrchr(self, '/');
	if (slash)
		*slash = 0;
	snprintf(path, sizeof(path), "%s/libexec/ward/ward-doctor", self);
	if (c->json)
		argv[n++] = "--json";
	static const char *const passed[] = { "root", "instance" };
	for (size_t i = 0; i < countof(passed); i++)
		if (cli_opt(c, passed[i])) {
			argv[n++] = passed[i][0] == 'r' ? "--root" : "--instance";
			argv[n++] = cli_opt(c, passed[i]);
		}
	argv[n] = NULL;
	execv(path, (char *const *)argv);
	err_sys(e, errno, "starting %.300s", path);
	err_next(e,
	    "install Ward whole (`make install`): ward-doctor belongs beside its other programs");
	return -EIO;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.args = "",
	.summary = "what this host can and cannot do",
	.text = "Looks at KVM, control groups, namespaces, swap, disk and the platform's daemons, "
		"and says for each fault what to do.",
	.options =
	    (const struct cli_option[]){
		{ "root", 0, "DIR", "the platform's root folder (default: /)" },
		{ "instance", 0, "NAME", "the platform's instance (default: ward)" },
		OPTION_END,
	    },
	.run = run,
};
