/* What the supervisor knows; status.c shows it. */
#pragma once
#include "edge/edge.h"
#include "store/passed.h"
#include <systemd/sd-event.h>

struct supervisor;

struct child {
	struct supervisor *s;
	const char *name;
	pid_t pid; /* 0: not running */
	int pidfd, control;
	sd_event_source *exit, *io, *again;
	struct edge_counters *row; /* of a worker */
	uint64_t started_ms;
	unsigned backoff_ms, restarts;
};

struct passed {
	char name[12];
	int fd;
};

struct table_facts {
	uint64_t serial, made_at;
	uint32_t apps, hosts, machines;
};

struct supervisor {
	const struct edge_args *args;
	sd_event *loop;
	char self[256], root[80];
	struct passed listeners[EDGE_LISTENERS_MAX];
	size_t nlisteners;
	char password[STORE_PASSWORD_TEXT + 1]; /* of the store, for the watcher */
	int counters_fd, table_fd;
	struct edge_counters *counters;
	struct edge_tickets tickets;
	struct table_facts table;
	unsigned tables_refused;
	unsigned nworkers;
	struct child worker[EDGE_WORKERS_MAX], watcher;
	bool stopping;
};
