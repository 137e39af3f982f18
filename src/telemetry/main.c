/* ward-telemetry: takes the lines of this host's machines from their links, keeps them sealed and
 * bounded, and serves them.
 *
 *   ward-telemetry [--root DIR] [--instance NAME] [--app-mb N] [--total-mb N] [--keep-days N]
 *
 * Its socket is the passed fd "telemetry", its folder <lib>/logs; the keys come from the vault. */
#include "base/confine.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "telemetry/telemetry.h"
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/stat.h>

static int parse(int argc, char **argv, struct telemetry *t, struct err *e)
{
	uint64_t app_mb = 64, total_mb = 1024, days = 30, segment_kb = 4096;
	const struct {
		const char *name;
		uint64_t *to, max;
	} options[] = { { "--app-mb", &app_mb, 1 << 20 }, { "--total-mb", &total_mb, 1 << 20 },
		{ "--keep-days", &days, 36500 }, { "--segment-kb", &segment_kb, 1 << 20 } };
	for (int i = 1; i < argc; i += 2) {
		size_t k = 0;
		while (k < countof(options) && !streq(options[k].name, argv[i]))
			k++;
		if (k == countof(options) || i + 1 == argc ||
		    !str_u64(argv[i + 1], options[k].max, options[k].to) || !*options[k].to)
			return err_set(
			    e, ERR_INVALID, "ward-telemetry does not understand \"%s\"", argv[i]);
	}
	t->limits = (struct applog_limits){ .app_bytes = app_mb << 20,
		.segment_bytes = (uint32_t)(segment_kb << 10),
		.keep_us = days * 86400000000 };
	t->total_bytes = total_mb << 20;
	return 0;
}

static int open_logs_folder(struct telemetry *t, struct err *e)
{
	cleanup_close int lib = open(t->places.lib, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lib < 0)
		return err_sys(e, errno, "cannot open the folder %s", t->places.lib);
	t->logs_dir = dir_open(lib, "logs", e);
	return MIN(t->logs_dir, 0);
}

static int run(int argc, char **argv, struct err *e)
{
	static struct telemetry t;
	static const struct http_limits limits = { .body_max = 0,
		.connections = 300,
		.idle_ms = 60000,
		.header_ms = 10000,
		.body_ms = 10000 };
	int r = places_from_args(&t.places, &argc, &argv, e);
	if (r == 0)
		r = parse(argc, argv, &t, e);
	if (r == 0)
		r = daemon_users_load(e);
	if (r == 0)
		r = open_logs_folder(&t, e);
	if (r < 0)
		return r;
	umask(077);
	int listen_fd = daemon_passed_fd("telemetry");
	if (listen_fd < 0)
		return err_set(e, ERR_INVALID, "no socket named \"telemetry\" was passed");
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (sodium_init() < 0 || sd_event_new(&t.loop) < 0 ||
	    sd_event_add_signal(t.loop, NULL, SIGTERM, NULL, NULL) < 0 ||
	    sd_event_add_signal(t.loop, NULL, SIGINT, NULL, NULL) < 0)
		return err_set(e, ERR_SYSTEM, "cannot make an event loop");

	struct http_server *server = NULL;
	/* Files: the logs. Unix: the links, the vault, who asks. Mlock: the log keys. */
	r = confine(CONFINE_FILES_READ | CONFINE_FILES_WRITE | CONFINE_UNIX | CONFINE_MLOCK, e);
	if (r == 0)
		r = hub_start(&t, e);
	if (r == 0)
		r = http_server_start(t.loop, listen_fd, &limits, serve, &t, NULL, &server, e);
	if (r == 0) {
		log_info("ready (%zu logs)", t.napps);
		r = sd_event_loop(t.loop);
		if (r < 0)
			err_sys(e, -r, "the event loop failed");
	}
	http_server_stop(server);
	hub_stop(&t);
	sd_event_unref(t.loop);
	close(t.logs_dir);
	return r;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	log_init("ward-telemetry");
	if (run(argc, argv, &e) < 0) {
		log_err(&e, "cannot run");
		return 1;
	}
	return 0;
}
