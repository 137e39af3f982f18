/* ward-edge-keys: alone holds the private keys of TLS. No network, one socket; it makes keys, has
 * the vault sign and seal, and signs digests for the edge's workers. */
#include "base/clock.h"
#include "base/confine.h"
#include "base/log.h"
#include "base/str.h"
#include "edge/key_serve.h"
#include "edge/key_store.h"
#include <signal.h>

enum { LOOK_AFTER_S = 60, RETRY_MIN_S = 1, RETRY_MAX_S = 30 };

struct program {
	struct key_store store;
	struct key_server *server;
	sd_event *loop;
	unsigned retry_s;
};

/* Makes what is missing or due; the vault may be away, then again a little later. */
static int on_time(sd_event_source *source, uint64_t usec, void *arg)
{
	struct program *p = arg;
	struct err e = { 0 };
	bool changed = false;
	int r = key_store_look(&p->store, &changed, &e);
	if (changed)
		key_server_changed(p->server);
	if (r < 0) {
		log_err(&e, "certificates");
		p->retry_s = p->retry_s ? MIN(p->retry_s * 2, (unsigned)RETRY_MAX_S) : RETRY_MIN_S;
	} else {
		p->retry_s = 0;
	}
	int64_t wait =
	    r < 0 ? p->retry_s : key_store_next(&p->store) - (int64_t)(clock_wall_ms() / 1000);
	/* looked after each minute all the same: the wall clock can be set */
	wait = MAX((int64_t)1, MIN(wait, (int64_t)LOOK_AFTER_S));
	(void)sd_event_source_set_time(source, usec + (uint64_t)wait * 1000000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int set_up(struct program *p, const struct places *places, const char *base, struct err *e)
{
	char name[KEYS_NAME_MAX];
	int r = key_store_open(&p->store, places, e);
	/* the first that fits exactly wins in a worker: the API's name has a key of its own, all
	 * apps share one */
	snprintf(name, sizeof(name), "api.%s", base);
	if (r >= 0)
		r = key_store_want(&p->store, name, e);
	snprintf(name, sizeof(name), "*.%s", base);
	if (r >= 0)
		r = key_store_want(&p->store, name, e);
	if (r < 0)
		return r;
	int fd = daemon_passed_fd("edge-keys");
	if (fd < 0)
		return err_set(e, ERR_INVALID, "the socket edge-keys was not passed");
	sigset_t block;
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGINT);
	sigprocmask(SIG_BLOCK, &block, NULL);
	uint64_t now;
	r = sd_event_new(&p->loop);
	if (r >= 0)
		r = sd_event_add_signal(p->loop, NULL, SIGTERM, on_stop, p);
	if (r >= 0)
		r = sd_event_add_signal(p->loop, NULL, SIGINT, on_stop, p);
	if (r >= 0)
		r = sd_event_now(p->loop, CLOCK_MONOTONIC, &now);
	if (r >= 0)
		r = sd_event_add_time(p->loop, NULL, CLOCK_MONOTONIC, now, 1000, on_time, p);
	if (r < 0)
		return err_sys(e, -r, "cannot set up the event loop");
	return key_server_start(p->loop, fd, &p->store, &p->server, e);
}

int main(int argc, char **argv)
{
	static struct program p;
	struct places places;
	const char *base = "ward.localhost";
	struct err e;
	log_init("ward-edge-keys");
	signal(SIGPIPE, SIG_IGN);
	int r = places_from_args(&places, &argc, &argv, &e);
	if (r >= 0 && argc == 3 && streq(argv[1], "--base-domain"))
		base = argv[2];
	else if (r >= 0 && argc != 1)
		r = err_set(
		    &e, ERR_INVALID, "the one argument is --base-domain NAME, not %s", argv[1]);
	if (r >= 0 && strlen(base) > 100)
		r = err_set(&e, ERR_INVALID, "the base domain is longer than 100 bytes");
	if (r >= 0)
		r = daemon_users_load(&e);
	if (r >= 0)
		r = set_up(&p, &places, base, &e);
	/* its folder of sealed keys, the vault's socket and its own */
	if (r >= 0)
		r = confine(CONFINE_FILES_READ | CONFINE_FILES_WRITE | CONFINE_UNIX, &e);
	if (r < 0) {
		log_err(&e, "start");
		return 1;
	}
	return sd_event_loop(p.loop) < 0 ? 1 : 0;
}
