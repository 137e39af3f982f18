/* ward-control: decides what should be.
 *
 *   ward-control [--root DIR] [--instance NAME] --host NAME [--region NAME]
 *
 * No inbound socket; it reads and writes etcd alone, with the password passed as "store-password".
 */
#include "base/confine.h"
#include "base/daemon.h"
#include "base/log.h"
#include "base/str.h"
#include "control/control.h"
#include "store/passed.h"
#include <signal.h>
#include <sodium.h>

static int parse(int argc, char **argv, struct control *c, struct err *e)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (streq(argv[i], "--host") && value)
			c->host = argv[++i];
		else if (streq(argv[i], "--region") && value)
			i++; /* the same line for every daemon that knows its host; nothing here
				depends on it */
		else
			return err_set(
			    e, ERR_INVALID, "ward-control does not understand \"%s\"", argv[i]);
	}
	if (!c->host || !str_is_name(c->host, NAME_MAX_LEN))
		return err_set(e, ERR_INVALID, "--host must be this host's name");
	return 0;
}

static int run(int argc, char **argv, struct err *e)
{
	struct places places;
	struct control c = { 0 };
	int r = places_from_args(&places, &argc, &argv, e);
	if (r == 0)
		r = parse(argc, argv, &c, e);
	if (r < 0)
		return r;
	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, "libsodium cannot start");
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (sd_event_new(&c.loop) < 0 ||
	    sd_event_add_signal(c.loop, NULL, SIGTERM, NULL, NULL) < 0 ||
	    sd_event_add_signal(c.loop, NULL, SIGINT, NULL, NULL) < 0)
		return err_set(e, ERR_SYSTEM, "cannot make an event loop");
	r = store_open_passed(&places, DAEMON_CONTROL, &c.store, e);
	/* Unix: etcd's socket, connected anew whenever it is lost. */
	if (r == 0)
		r = confine(CONFINE_UNIX, e);
	if (r == 0)
		r = view_start(&c, e);
	if (r == 0)
		r = work_start(&c, e);
	if (r == 0)
		r = leader_start(&c, e);
	if (r == 0) {
		log_info("ready");
		r = sd_event_loop(c.loop);
		if (r < 0)
			err_sys(e, -r, "the event loop failed");
	}
	leader_stop(&c);
	work_stop(&c);
	view_stop(&c);
	store_close(c.store);
	sd_event_unref(c.loop);
	return r;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	log_init("ward-control");
	if (run(argc, argv, &e) < 0) {
		log_err(&e, "cannot run");
		return 1;
	}
	return 0;
}
