/* What the edge's processes share: their arguments, the messages between supervisor and children,
 * and the counters that workers write and the supervisor reads.
 *
 *   supervisor --(table, tickets, drain)--> worker 0..n-1        watcher --(table)--> supervisor
 */
#pragma once
#include "base/ipc.h"
#include <signal.h>

enum { EDGE_VERSION = 1, EDGE_WORKERS_MAX = 64, EDGE_LISTENERS_MAX = 16 };

struct edge_args {
	struct places places;
	const char *base_domain; /* "ward.localhost" */
	const char *region;      /* "local" */
	const char *host;        /* this host's name in the store */
	const char *table; /* a static table (JSON) instead of the store; NULL in production */
	unsigned workers;  /* 0: one a core */
	unsigned index;    /* of a worker */
};

int edge_supervisor(const struct edge_args *a); /* exit codes */
int edge_worker(const struct edge_args *a);
int edge_watcher(const struct edge_args *a);

/* ---- messages (SEQPACKET pairs) ---- */
enum edge_type {
	EDGE_TABLE = 1, /* struct ipc_head + the sealed memfd */
	EDGE_TICKETS,   /* struct edge_tickets */
	EDGE_DRAIN,     /* struct ipc_head: accept no more, end when the last connection has */
};

/* Session ticket keys, the same in every worker; [0] encrypts, both decrypt. */
enum { EDGE_TICKET_KEYS = 2, EDGE_TICKET_HOURS = 12 };
struct edge_ticket_key {
	uint8_t name[16], aes[32], hmac[32];
};
struct edge_tickets {
	struct ipc_head head;
	struct edge_ticket_key key[EDGE_TICKET_KEYS];
};

/* ---- counters: a shared memfd of one row for each worker; one writer a row ---- */
#define EDGE_COUNTERS(X)                                                                           \
	X(clients)                                                                                 \
	X(accepted)                                                                                \
	X(refused)                                                                                 \
	X(handshakes)                                                                              \
	X(handshakes_failed)                                                                       \
	X(resumed)                                                                                 \
	X(requests)                                                                                \
	X(answers_2xx)                                                                             \
	X(answers_3xx)                                                                             \
	X(answers_4xx)                                                                             \
	X(answers_5xx)                                                                             \
	X(own_errors)                                                                              \
	X(retries)                                                                                 \
	X(connects)                                                                                \
	X(connect_errors)                                                                          \
	X(tunnels)                                                                                 \
	X(bytes_in)                                                                                \
	X(bytes_out)                                                                               \
	X(blocks)                                                                                  \
	X(signatures)                                                                              \
	X(tables)

struct edge_counters {
#define X(name) uint64_t name;
	EDGE_COUNTERS(X)
#undef X
	uint64_t table_serial, certificates;
} __attribute__((aligned(64)));
