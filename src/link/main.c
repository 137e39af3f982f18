/* ward-link: one for each machine, in its cage, as the machine's uid. Started by ward-jail with the
 * machine's description on fd 3. */
#include "base/confine.h"
#include "base/daemon.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "link/link.h"
#include "proto/vmm_spec.h"
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>

struct places_of_link {
	const char *run, *state; /* in the cage always the same; tests name others */
	char link_sock[108], guest_sock[108], log_sock[108];
};

static int parse_args(int argc, char **argv, struct places_of_link *p, struct err *e)
{
	*p = (struct places_of_link){ .run = VMM_RUN, .state = VMM_STATE };
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && streq(argv[i], "--run"))
			p->run = argv[i + 1];
		else if (i + 1 < argc && streq(argv[i], "--state"))
			p->state = argv[i + 1];
		else
			return err_set(e, ERR_INVALID,
			    "usage: ward-link [--run DIR] [--state DIR], the machine's description "
			    "on fd 3");
	}
	int n = snprintf(p->link_sock, sizeof p->link_sock, "%s/link.sock", p->run);
	snprintf(p->guest_sock, sizeof p->guest_sock, "%s/guest.sock", p->run);
	snprintf(p->log_sock, sizeof p->log_sock, "%s/log.sock", p->run);
	return n < (int)sizeof p->link_sock
		   ? 0
		   : err_set(e, ERR_INVALID, "--run is too long for a socket's path");
}

static int open_places(struct link *l, struct places_of_link *p, struct err *e)
{
	struct vmm_spec spec;
	int r = vmm_spec_read(VMM_SPEC_FD, &spec, e);
	if (r < 0)
		return r;
	close(VMM_SPEC_FD);
	if ((l->run_dir = dir_open(AT_FDCWD, p->run, e)) < 0)
		return l->run_dir;
	if ((l->state_dir = dir_open(AT_FDCWD, p->state, e)) < 0)
		return l->state_dir;
	(void)str_copy(l->machine, sizeof l->machine, spec.machine);
	memcpy(l->control.token, spec.token, sizeof spec.token);
	memcpy(l->log.token, spec.token, sizeof spec.token);
	l->control.path = p->guest_sock;
	l->log.path = p->log_sock;
	return 0;
}

static int on_term(sd_event_source *s, const struct signalfd_siginfo *si, void *arg)
{
	return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int start(
    struct link *l, struct places_of_link *p, struct http_server **server, struct err *e)
{
	int r = sd_event_new(&l->loop);
	if (r < 0)
		return err_sys(e, -r, "no event loop");
	if ((r = state_load(l, e)) < 0 || (r = logs_start(l, e)) < 0 || (r = guest_start(l, e)) < 0)
		return r;
	if ((r = http_start_api(l, p->link_sock, server, e)) < 0)
		return r;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	r = sd_event_add_signal(l->loop, NULL, SIGTERM, on_term, NULL);
	return r < 0 ? err_sys(e, -r, "cannot watch for SIGTERM") : 0;
}

int main(int argc, char **argv)
{
	static struct link l;
	struct places_of_link p;
	struct http_server *server = NULL;
	struct err e = { 0 };
	log_init("link");
	int r = parse_args(argc, argv, &p, &e);
	if (r == 0 && sodium_init() < 0)
		r = err_set(&e, ERR_SYSTEM, "no random numbers");
	if (r == 0)
		r = daemon_users_load(
		    &e); /* who may ask what; the cage has a user database with the daemons alone */
	if (r == 0)
		r = open_places(&l, &p, &e);
	if (r == 0)
		r = start(&l, &p, &server, &e);
	/* Sockets: the guest's two ports and its own. Files: ring, exit record, reserved numbers,
	 * all in its two folders. */
	if (r == 0)
		r = confine(CONFINE_FILES_READ | CONFINE_FILES_WRITE | CONFINE_UNIX, &e);
	if (r < 0) {
		log_err(&e, "starting");
		return 1;
	}
	log_info("machine %s", l.machine);
	r = sd_event_loop(l.loop);
	http_server_stop(server);
	guest_stop(&l);
	logs_stop(&l);
	sd_event_unref(l.loop);
	return r < 0;
}
