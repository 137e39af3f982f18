/* The two halves of following the store: watch_store.c makes tables, watch_checks.c keeps what the
 * store says about checks. */
#pragma once
#include "edge/probe.h"
#include "edge/watcher.h"
#include "store/store.h"

struct machine {
	struct record_machine r;
	struct probe *probe[RECORD_CHECKS_MAX];
	bool checks_dirty; /* what the store says about its checks is old */
};

struct follow {
	struct watcher *w;
	struct store *store;
	struct store_view *apps, *desired, *observed;
	char desired_prefix[96], observed_prefix[96];
	struct probes probes;
	sd_event_source *rebuild, *save, *write, *last;
	struct machine *machine;
	size_t nmachines;
	struct routes_app *app;
	size_t napps;
	struct buf table; /* what was published last */
	int64_t told[64]; /* revisions of records that were refused */
	size_t ntold;
	bool synced, complained, write_failing;
};

/* Wakes a timer in so many ms, unless it is to wake earlier already. */
void follow_wake(sd_event_source *s, uint64_t in_ms);

/* What the store has about this check of this very run of the machine; an earlier watcher wrote it.
 */
enum check_status checks_known(const struct follow *f, const struct machine *m, const char *check);
/* Finds the records that are old, and sees to their writing. */
void checks_compare(struct follow *f);
/* Timer: writes what is marked, deletes what belongs to no machine, and tries again when the store
 * does not take it. */
int checks_write(sd_event_source *source, uint64_t usec, void *arg);
