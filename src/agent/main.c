/* ward-agent: runs this host's machines.
 *
 *   ward-agent [--root DIR] [--instance NAME] --host NAME --region NAME [--host-id N] [--engine
 * auto|emulated|kvm]
 *              [--kernel FOLDER] [--cpus N] [--memory-mb N]
 *
 * No capabilities, no network: it asks wardd, ward-net, ward-image, the vault and each machine's
 * link by their sockets. */
#include "agent/agent.h"
#include "base/confine.h"
#include "base/file.h"
#include "base/str.h"
#include "store/passed.h"
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

enum { RESERVED_MIB = 768 }; /* for the host itself and Ward's own daemons */

static bool number(const char *text, uint32_t max, uint32_t *ret)
{
	uint64_t n = 0;
	if (!str_u64(text, max, &n) || !n)
		return false;
	*ret = (uint32_t)n;
	return true;
}

static bool engine(const char *name, enum wardd_engine *ret)
{
	if (streq(name, "auto"))
		*ret = 0;
	else if (streq(name, "emulated"))
		*ret = WARDD_ENGINE_EMULATED;
	else if (streq(name, "kvm"))
		*ret = WARDD_ENGINE_KVM;
	else
		return false;
	return true;
}

static int parse(int argc, char **argv, struct agent *a, struct err *e)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *name = argv[i], *value = argv[i + 1];
		bool ok = true;
		if (streq(name, "--host"))
			a->host = value;
		else if (streq(name, "--region"))
			a->region = value;
		else if (streq(name, "--kernel"))
			a->kernel = value;
		else if (streq(name, "--engine"))
			ok = engine(value, &a->engine);
		else if (streq(name, "--host-id"))
			ok = number(value, UINT32_MAX, &a->host_id);
		else if (streq(name, "--cpus"))
			ok = number(value, 4096, &a->cpus);
		else if (streq(name, "--memory-mb"))
			ok = number(value, UINT32_MAX, &a->memory_mib);
		else
			return err_set(
			    e, ERR_INVALID, "ward-agent does not understand \"%s\"", name);
		if (!ok)
			return err_set(e, ERR_INVALID, "%s cannot be \"%s\"", name, value);
	}
	if (argc % 2 == 0)
		return err_set(e, ERR_INVALID, "%s needs a value", argv[argc - 1]);
	if (!a->host || !str_is_name(a->host, NAME_MAX_LEN) || !a->region ||
	    !str_is_name(a->region, NAME_MAX_LEN))
		return err_set(e, ERR_INVALID, "--host and --region must be names");
	return 0;
}

static void measure(struct agent *a)
{
	struct sysinfo si;
	if (!a->cpus)
		a->cpus = (uint32_t)MAX(1, sysconf(_SC_NPROCESSORS_ONLN));
	if (!a->memory_mib && sysinfo(&si) == 0) {
		uint64_t mib = (uint64_t)si.totalram * si.mem_unit >> 20;
		a->memory_mib = (uint32_t)(mib > 2 * RESERVED_MIB ? mib - RESERVED_MIB : mib / 2);
	}
}

static void read_boot_id(struct agent *a)
{
	cleanup_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && io_read_all(fd, a->boot_id, BOOT_ID_LEN) == 0)
		return;
	str_copy(a->boot_id, sizeof(a->boot_id), "unknown");
}

/* ---- the view of what should be here ---- */

static void drop_desired(struct machine *m)
{
	if (m->has_desired)
		desired_done(&m->desired);
	m->has_desired = false;
}

static void changed(void *arg, const char *key, json_t *value)
{
	struct agent *a = arg;
	struct err e;
	trust_update(a);
	const char *id = key ? strrchr(key, '/') : NULL;
	if (!id) {
		machines_turn_all(a);
		return;
	}
	struct desired d = { 0 };
	id++;
	if (!id_is_machine(id))
		return;
	if (value && desired_parse(value, &d, &e) < 0) {
		log_err(&e, "%s stays as it was",
		    key); /* a poisoned record harms only its own machine */
		return;
	}
	struct machine *m = value ? machine_get(a, id) : machine_find(a, id);
	if (!m || (value && !streq(d.id, id))) {
		desired_done(&d);
		return;
	}
	drop_desired(m);
	if (value) {
		m->desired = d;
		m->has_desired = true;
	}
	machine_turn_soon(m);
}

static int start(struct agent *a, struct err *e)
{
	char prefix[NAME_MAX_LEN + 16];
	snprintf(prefix, sizeof(prefix), "desired/%s/", a->host);
	trust_load(a);
	int r = http_client_new(a->loop, &a->http, e);
	if (r == 0)
		r = folder_load_all(a, e);
	if (r < 0)
		return r;
	cages_start(a);
	taps_list(a);
	report_start(a);
	return store_view_open(a->store, a->loop, prefix, changed, a, &a->view, e);
}

static void stop(struct agent *a)
{
	report_stop(a);
	cages_stop(a);
	while (a->machines)
		machine_drop(a->machines);
	if (a->view)
		store_view_close(a->view);
	if (a->http)
		http_client_free(a->http);
	store_close(a->store);
	sd_event_unref(a->loop);
	if (a->net >= 0)
		close(a->net);
	free(a->names_text);
	free(a->owners_text);
}

static int open_below(const char *lib, const char *name, struct err *e)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", lib, name);
	int fd = dir_open(AT_FDCWD, path, e);
	return fd;
}

static int run(int argc, char **argv, struct err *e)
{
	static struct agent a = {
		.kernel = "current", .host_id = 1, .wardd_events = -1, .wardd_calls = -1, .net = -1
	};
	int r = places_from_args(&a.places, &argc, &argv, e);
	if (r == 0)
		r = parse(argc, argv, &a, e);
	if (r < 0)
		return r;
	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, "libsodium cannot start");
	umask(0); /* each file names its own mode */
	measure(&a);
	snprintf(a.names_dir, sizeof(a.names_dir), "%s/names", a.places.run);
	read_boot_id(&a);
	if ((a.machines_fd = open_below(a.places.lib, "machines", e)) < 0)
		return a.machines_fd;
	if ((a.images_fd = open_below(a.places.lib, "images", e)) < 0)
		return a.images_fd;
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (sd_event_new(&a.loop) < 0 ||
	    sd_event_add_signal(a.loop, NULL, SIGTERM, NULL, NULL) < 0 ||
	    sd_event_add_signal(a.loop, NULL, SIGINT, NULL, NULL) < 0)
		return err_set(e, ERR_SYSTEM, "cannot make an event loop");
	r = store_open_passed(&a.places, DAEMON_AGENT, &a.store, e);
	/* Files: the machines' folders. Unix: whom it asks, and the taps they pass. */
	if (r == 0)
		r = confine(CONFINE_FILES_READ | CONFINE_FILES_WRITE | CONFINE_UNIX, e);
	if (r == 0)
		r = start(&a, e);
	if (r == 0) {
		log_info(
		    "ready: host %s, %u CPUs, %u MiB for machines", a.host, a.cpus, a.memory_mib);
		r = sd_event_loop(a.loop);
		if (r < 0)
			err_sys(e, -r, "the event loop failed");
	}
	stop(&a);
	return r;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	log_init("ward-agent");
	if (run(argc, argv, &e) < 0) {
		log_err(&e, "cannot run");
		return 1;
	}
	return 0;
}
