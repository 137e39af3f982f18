#pragma once
#include "edge/edge.h"
#include "proto/route_table.h"
#include <systemd/sd-event.h>

struct watcher {
	const struct edge_args *args;
	sd_event *loop;
	int control; /* to the supervisor */
	uint64_t serial;
	struct timespec seen; /* the static table's time of change */
};

/* Seals a table and hands it to the supervisor. */
int watcher_publish(struct watcher *w, struct bytes table);

/* Follows the store: apps, machines, their checks. */
int watcher_store(struct watcher *w, struct err *e) must_check;
