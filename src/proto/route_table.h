/* The edge's route table: which host name belongs to which app, and which machines answer for it.
 * One immutable block with offsets only, so that it can be a sealed memfd shared by all workers, or
 * a file. The watcher builds it, the supervisor checks it, workers look things up in it without any
 * parsing. Layout, native byte order (it never leaves the host):
 *
 *   head | hosts: open-addressed hash, a power of two | apps | backends | strings (host names)
 */
#pragma once
#include "base/buf.h"
#include "base/id.h"

enum {
	ROUTE_VERSION = 1,
	ROUTE_APPS_MAX = 65536,
	ROUTE_HOSTS_MAX = 131072,
	ROUTE_BACKENDS_MAX = 65536,
	ROUTE_SIZE_MAX = 64 * 1024 * 1024,
	ROUTE_HOST_LEN_MAX = 253,
};
#define ROUTE_MAGIC "WARDRT\r\n"

enum route_side { ROUTE_PLAIN, ROUTE_TLS, ROUTE_SIDES }; /* by which listener the client came */

struct route_backend {
	char machine[MACHINE_ID_LEN + 2];
	uint8_t ipv4[4];
	uint16_t port;
	uint8_t by_connections; /* what soft and hard count: connections, else requests */
	uint8_t pad_;
	uint32_t soft, hard; /* 0: no limit */
};
_Static_assert(sizeof(struct route_backend) == 32, "no holes in the table");

struct route_pool {
	uint32_t first, count; /* backends that may get requests */
	uint32_t unhealthy;    /* machines left out because a check fails or has not passed yet */
	uint32_t resting;      /* machines left out because they do not run, or are cordoned */
	uint16_t app_port;     /* where the app should listen, for error pages */
	uint8_t present;       /* the app has a service on this side */
	uint8_t force_https;
};

struct route_app {
	char id[APP_ID_LEN + 4];
	char name[64];
	struct route_pool pool[ROUTE_SIDES];
};

struct route_host {
	uint32_t hash, app, name_at, name_len; /* name_len 0: an empty place */
};

struct route_head {
	char magic[8];
	uint32_t version, size;
	uint64_t serial;  /* grows with each table of one watcher */
	uint64_t made_at; /* wall clock, ms */
	uint32_t hosts_at, nplaces, nhosts;
	uint32_t apps_at, napps;
	uint32_t backends_at, nbackends;
	uint32_t strings_at, strings_len;
	uint32_t pad_;
};

struct route_table {
	const struct route_head *head;
	const struct route_host *hosts;
	const struct route_app *apps;
	const struct route_backend *backends;
	const char *strings;
};

/* ---- reading ---- */

/* Checks every offset, length and text in base[0..len), which must be 8-aligned; after that no
 * look-up can leave the block. *ret points into it. */
int route_table_open(
    const void *base, size_t len, struct route_table *ret, struct err *e) must_check;

/* Maps a memfd that must carry all seals (so nobody can change it any more) and opens it. Unmap
 * with route_table_unmap. The fd stays the caller's. */
int route_table_map(int fd, struct route_table *ret, struct err *e) must_check;
void route_table_unmap(struct route_table *t);

/* The app of a host name (lower case); NULL if there is none. */
const struct route_app *route_table_find(const struct route_table *t, const char *host, size_t len);

/* ---- building ---- */
struct route_builder {
	struct buf hosts, apps, backends, strings;
	uint32_t napps, nbackends;
	struct route_pool *pool; /* what the next backends go to */
};

void route_builder_init(struct route_builder *b);
void route_builder_done(struct route_builder *b);
/* One app, then its names and pools (each pool followed by its backends). Texts
 * are checked. A name given twice is an error at the end (ERR_CONFLICT): who builds looks first. */
int route_builder_app(
    struct route_builder *b, const char *id, const char *name, struct err *e) must_check;
int route_builder_host(struct route_builder *b, const char *host, struct err *e) must_check;
int route_builder_pool(struct route_builder *b, enum route_side side, const struct route_pool *pool,
    struct err *e) must_check;
int route_builder_backend(
    struct route_builder *b, const struct route_backend *m, struct err *e) must_check;
/* The whole table, appended to the empty *ret. */
int route_builder_finish(struct route_builder *b, uint64_t serial, uint64_t made_at,
    struct buf *ret, struct err *e) must_check;

/* A sealed memfd with these bytes. */
int route_table_seal(struct bytes table, int *ret_fd, struct err *e) must_check;
