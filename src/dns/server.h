/* The resolver's two sockets: datagrams answered at once or sent upstream; a bounded number of TCP
 * connections. */
#pragma once
#include "dns/upstream.h"
#include "proto/names_table.h"

enum {
	SERVER_CONNECTIONS_MAX = 64,
	SERVER_PER_ASKER_MAX = 4,    /* of those, and */
	SERVER_PER_NETWORK_MAX = 32, /* of one organisation's machines together */
	SERVER_IDLE_MS = 10000,
	SERVER_BUCKETS = 4096,
	SERVER_RATE = 100,  /* questions a second of one machine, and */
	SERVER_BURST = 400, /* at once */
	/* Datagrams upstream of one machine, and of one organisation: silence there is not to cost
	   the others their places */
	SERVER_PENDING_MAX = 64,
	SERVER_PENDING_NETWORK_MAX = UPSTREAM_PENDING_MAX / 2,
};

struct server {
	sd_event *loop;
	int udp, tcp;
	int folder; /* where table.json is: <run>/names; -1: not there yet */
	const char *folder_path;
	struct upstream *up;
	struct names_table names; /* the last good one */
	/* private */
	uint64_t looked_ms, stamp;
	unsigned spin;
	struct bucket {
		uint64_t at_ms;
		uint32_t tokens, pending;
	} bucket[SERVER_BUCKETS];
	uint32_t network_pending[SERVER_BUCKETS];
	uint64_t bucket_key[2];
	struct client *client[SERVER_CONNECTIONS_MAX];
};

int server_start(struct server *s, struct err *e) must_check; /* then sd_event_loop */
