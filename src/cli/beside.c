#include "cli/beside.h"
#include <limits.h>

int beside_become(struct cli *c, const char *program, struct err *e)
{
	char self[PATH_MAX], path[PATH_MAX + 64];
	const char *argv[8] = { program };
	size_t n = 1;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len < 0)
		return err_sys(e, errno, "finding ward's own place");
	self[len] = 0;
	for (int i = 0; i < 2; i++) { /* <prefix>/bin/ward, so <prefix>/libexec/ward/… */
		char *slash = strrchr(self, '/');
		if (slash)
			*slash = 0;
	}
	snprintf(path, sizeof(path), "%s/libexec/ward/%s", self, program);
	if (c->json)
		argv[n++] = "--json";
	static const char *const passed[][2] = { { "root", "--root" },
		{ "instance", "--instance" } };
	for (size_t i = 0; i < countof(passed); i++)
		if (cli_opt(c, passed[i][0])) {
			argv[n++] = passed[i][1];
			argv[n++] = cli_opt(c, passed[i][0]);
		}
	argv[n] = NULL;
	execv(path, (char *const *)argv);
	err_sys(e, errno, "starting %.300s", path);
	err_next(e, "install Ward whole (`make install`): %s belongs beside its other programs",
	    program);
	return -EIO;
}
