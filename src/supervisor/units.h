/* The daemons that run: carries out what core/supervise decides, adopts what an earlier wardd left.
 */
#pragma once
#include "core/supervise.h"
#include "proto/ipc_wardd.h"
#include "supervisor/sockets.h"
#include <systemd/sd-event.h>

struct units {
	const struct settings *settings;
	sd_event *loop;
	sd_event_source *timer;
	struct supervise plan;
	struct unit_run {
		struct units *all;
		enum row row;
		pid_t pid;  /* 0: not running */
		bool child; /* ours; else adopted: its exit code cannot be known */
		int pidfd;
		uint64_t up_since_ms; /* by boot time */
		struct row_fds fds;
		sd_event_source *source;
	} run[ROW_MAX];
	void (*stopped)(void *arg); /* after units_stop, when the last has ended */
	void *arg;
};

/* Makes the sockets, finds what runs already, starts the rest. */
int units_start(
    struct units *u, const struct settings *s, sd_event *loop, struct err *e) must_check;
/* A child ended (by the SIGCHLD loop). False: it is none of these. */
bool units_reaped(struct units *u, pid_t pid, int status);
void units_stop(struct units *u, void (*stopped)(void *arg), void *arg);
void units_status(const struct units *u, struct wardd_status *ret);
