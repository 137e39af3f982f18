/* ward-uplink up|down: run once by wardd, as root in the host's network namespace; both may be
 * repeated. */
#include "base/log.h"
#include "base/str.h"
#include "net/uplink.h"

static int run(int argc, char **argv, struct err *e)
{
	const char *instance = NULL, *netns = NULL, *what = argc > 1 ? argv[1] : "";
	for (int i = 2; i + 1 < argc; i += 2) {
		const char **to = streq(argv[i], "--instance") ? &instance
				  : streq(argv[i], "--netns")  ? &netns
							       : NULL;
		if (to)
			*to = argv[i + 1];
	}
	if (instance && netns && streq(what, "up"))
		return uplink_up(instance, netns, e);
	if (instance && streq(what, "down"))
		return uplink_down(instance, e);
	return err_set(e, ERR_INVALID,
	    "usage: ward-uplink up --instance NAME --netns PATH | down --instance NAME");
}

int main(int argc, char **argv)
{
	struct err e;
	log_init("ward-uplink");
	if (run(argc, argv, &e) == 0)
		return 0;
	log_err(&e, "uplink");
	return 1;
}
