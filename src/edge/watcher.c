/* ward-edge --watcher: makes the route table from the store's views (or from a file) and hands it
 * to the supervisor. */
#include "edge/watcher.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/log.h"
#include "edge/table_file.h"
#include <sys/stat.h>

int watcher_publish(struct watcher *w, struct bytes table)
{
	struct err e;
	cleanup_close int fd = -1;
	struct ipc_head m = { EDGE_TABLE, EDGE_VERSION, 0 };
	int r = route_table_seal(table, &fd, &e);
	if (r >= 0)
		r = ipc_send(w->control, &m, sizeof(m), (struct bytes){ 0 }, &fd, 1, &e);
	if (r < 0)
		log_err(&e, "cannot hand over a route table");
	return r;
}

/* ---- a static table, read again when its file changes ---- */

enum { LOOK_AGAIN_US = 50000 };

static void look(struct watcher *w)
{
	struct stat st;
	if (stat(w->args->table, &st) ||
	    (st.st_mtim.tv_sec == w->seen.tv_sec && st.st_mtim.tv_nsec == w->seen.tv_nsec))
		return;
	struct buf b;
	struct err e;
	buf_init(&b, ROUTE_SIZE_MAX);
	w->seen = st.st_mtim;
	if (table_file_read(w->args->table, ++w->serial, &b, &e) < 0)
		log_err(&e, "the table in %s was refused, the last one goes on", w->args->table);
	else
		(void)watcher_publish(w, buf_bytes(&b));
	buf_done(&b);
}

static int on_look(sd_event_source *source, uint64_t usec, void *arg)
{
	look(arg);
	(void)sd_event_source_set_time(source, usec + LOOK_AGAIN_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int follow_file(struct watcher *w, struct err *e)
{
	uint64_t now;
	int r = sd_event_now(w->loop, CLOCK_MONOTONIC, &now);
	if (r >= 0)
		r = sd_event_add_time(w->loop, NULL, CLOCK_MONOTONIC, now, 1000, on_look, w);
	return r < 0 ? err_sys(e, -r, "cannot follow the table's file") : 0;
}

static int on_supervisor(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	/* it says nothing; an event is its end, and without it nobody uses the tables */
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

int edge_watcher(const struct edge_args *a)
{
	static struct watcher w;
	struct err e;
	w.args = a;
	w.control = daemon_passed_fd("control");
	int r = sd_event_new(&w.loop);
	if (r >= 0)
		r = sd_event_add_io(
		    w.loop, NULL, w.control, EPOLLIN | EPOLLRDHUP, on_supervisor, &w);
	r = r < 0      ? err_sys(&e, -r, "cannot set up the event loop")
	    : a->table ? follow_file(&w, &e)
		       : watcher_store(&w, &e);
	/* the table's file, the store's and the vault's sockets, and TCP to machines for their
	 * checks */
	if (r >= 0)
		r = confine(
		    CONFINE_FILES_READ | CONFINE_FILES_WRITE | CONFINE_UNIX | CONFINE_INET, &e);
	if (r < 0) {
		log_err(&e, "start");
		return 1;
	}
	return sd_event_loop(w.loop) < 0 ? 1 : 0;
}
