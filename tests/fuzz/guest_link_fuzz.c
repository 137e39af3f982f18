/* A guest's whole conversation, after the ACK: HTTP/2 by nghttp2, hello and events as JSON, and the
 * log port into the ring. Both ports are driven through the same entry points as by their sockets;
 * the first byte chooses the port and the size of the pieces. */
#include "base/log.h"
#include "link/link.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* In place of base/log.c: the link's own words about each fault would drown the fuzzer's. */
void log_error(const char *fmt, ...)
{
}
void log_warn(const char *fmt, ...)
{
}
void log_info(const char *fmt, ...)
{
}
void log_debug(const char *fmt, ...)
{
}
void log_err(const struct err *e, const char *doing, ...)
{
}
void log_init(const char *program)
{
}

static struct link l;
static int folder = -1;
static char path[] = "/dev/shm/ward-fuzz-XXXXXX";

static void clean(void)
{
	static const char *const files[] = { "ring", "log-n", "exit.json", "run.json" };
	for (size_t i = 0; i < countof(files); i++)
		(void)unlinkat(folder, files[i], 0);
	(void)rmdir(path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	folder = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY) : -1;
	if (folder < 0)
		abort();
	(void)atexit(clean);
	return 0;
}

static void begin(void)
{
	struct err e = { 0 };
	l = (struct link){ .run_dir = folder,
		.state_dir = folder,
		.control.path = "/nowhere",
		.log.path = "/nowhere" };
	if (sd_event_new(&l.loop) < 0 || logs_start(&l, &e) < 0 || guest_start(&l, &e) < 0)
		abort();
	l.seq = 1;
	json_t *config = json_pack("{s:i, s:i}", "v", 1, "generation", 1);
	if (guest_run(&l, config, &e) < 0)
		abort();
	json_decref(config);
}

static void end(void)
{
	guest_stop(&l);
	logs_stop(&l);
	buf_done(&l.event_line);
	sd_event_unref(l.loop);
}

/* As port.c does: up once, then input until the port would begin anew. Writes go nowhere. */
static void drive(struct port *port, const uint8_t *p, size_t n, size_t piece)
{
	port->synced = true;
	port->ops->up(port->arg);
	for (size_t at = 0; at < n; at += piece)
		if (port->ops->input(port->arg, p + at, MIN(piece, n - at)) < 0)
			break;
	if (l.phase > LINK_EXITED || strlen(l.boot_id) > 32 || l.generation != 1)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (!n)
		return 0;
	size_t piece = (size_t)(p[0] >> 1) * 64 + 1;
	begin();
	drive(p[0] & 1 ? &l.log : &l.control, p + 1, n - 1, piece);
	json_decref(state_json(&l));
	end();
	return 0;
}
