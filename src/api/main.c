/* ward-api: the one door for people and programs.
 *
 *   ward-api [--root DIR] [--instance NAME] [--region NAME] [--blob-max BYTES]
 *
 * Its socket is the passed fd "api"; its store password the passed fd "store-password". */
#include "api/api.h"
#include "api/openapi.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/log.h"
#include "base/str.h"
#include "store/passed.h"
#include <signal.h>
#include <sys/stat.h>

enum {
	BODY_MAX = 256 * 1024, /* no record of the store is larger */
	CONNECTIONS = 256,
	IDLE_MS = 75 * 1000,
	HEADER_MS = 10 * 1000,
	BODY_MS = 30 * 1000,
	FIRST_READ_MS = 10 * 1000,
};
static const uint64_t blob_max_default = 8ULL << 30;

static int parse(int argc, char **argv, struct api *api, struct err *e)
{
	api->region = "local";
	api->blob_max = blob_max_default;
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
		uint64_t n;
		if (streq(a, "--region") && value && str_is_name(value, 63))
			api->region = argv[++i];
		else if (streq(a, "--blob-max") && value && str_u64(value, INT64_MAX, &n) && n)
			api->blob_max = (i++, n);
		else
			return err_set(e, ERR_INVALID, "ward-api does not understand \"%s\"", a);
	}
	return 0;
}

static void on_changed(void *arg, const char *key, json_t *value)
{
	api_changed(arg);
}

static int open_loop(struct api *api, struct err *e)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (sd_event_new(&api->loop) < 0 ||
	    sd_event_add_signal(api->loop, NULL, SIGTERM, NULL, NULL) < 0 ||
	    sd_event_add_signal(api->loop, NULL, SIGINT, NULL, NULL) < 0)
		return err_set(e, ERR_SYSTEM, "cannot make an event loop");
	return 0;
}

/* Callers wait in the socket's backlog until the state was read once, so that a restart of this
 * daemon is a pause to them and not an error. Bounded: without the store it serves, and says so. */
static int read_state_first(struct api *api, struct err *e)
{
	uint64_t end = clock_mono_ms() + FIRST_READ_MS, now;
	while (!state_synced(&api->state) && (now = clock_mono_ms()) < end) {
		int r = sd_event_run(api->loop, (end - now) * 1000);
		if (r < 0)
			return err_sys(e, -r, "the event loop failed");
		if (sd_event_get_state(api->loop) == SD_EVENT_FINISHED)
			return 0; /* told to stop */
	}
	return 0;
}

static int serve(struct api *api, int listen_fd, struct err *e)
{
	static const struct http_limits limits = { .body_max = BODY_MAX,
		.connections = CONNECTIONS,
		.idle_ms = IDLE_MS,
		.header_ms = HEADER_MS,
		.body_ms = BODY_MS };
	int r = http_client_new(api->loop, &api->client, e);
	if (r == 0)
		r = state_open(&api->state, api->store, api->loop, on_changed, api, e);
	if (r == 0)
		r = read_state_first(api, e);
	if (r == 0 && sd_event_get_state(api->loop) == SD_EVENT_FINISHED)
		return 0;
	if (r == 0)
		r = http_server_start(api->loop, listen_fd, &limits, api_handle, api,
		    api_wants_stream, &api->server, e);
	if (r < 0)
		return r;
	log_info("ready");
	r = sd_event_loop(api->loop);
	return r < 0 ? err_sys(e, -r, "the event loop failed") : 0;
}

static int run(int argc, char **argv, struct err *e)
{
	static struct api api; /* zero; large for a stack */
	int r = places_from_args(&api.places, &argc, &argv, e);
	if (r == 0)
		r = parse(argc, argv, &api, e);
	if (r == 0)
		r = daemon_users_load(e);
	if (r == 0)
		r = gate_init(&api.gate, api.places.run, e);
	if (r < 0)
		return r;
	umask(077);
	api.openapi = openapi_text;
	api.openapi_len = openapi_len;
	int listen_fd = daemon_passed_fd("api");
	if (listen_fd < 0)
		return err_set(e, ERR_INVALID, "no socket named \"api\" was passed");
	r = store_open_passed(&api.places, DAEMON_API, &api.store, e);
	if (r == 0)
		r = open_loop(&api, e);
	/* Files: uploads, below <lib>/uploads alone. Unix: the clients, and the daemons it asks.
	 * Threads: libcurl's resolver, which no unix socket ever needs, may start one. */
	if (r == 0)
		r = confine(
		    CONFINE_FILES_READ | CONFINE_FILES_WRITE | CONFINE_UNIX | CONFINE_THREADS, e);
	if (r == 0)
		r = serve(&api, listen_fd, e);
	http_server_stop(api.server);
	state_close(&api.state);
	http_client_free(api.client);
	store_close(api.store);
	sd_event_source_disable_unref(api.kick);
	sd_event_unref(api.loop);
	return r;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	log_init("ward-api");
	if (run(argc, argv, &e) < 0) {
		log_err(&e, "cannot run");
		return 1;
	}
	return 0;
}
