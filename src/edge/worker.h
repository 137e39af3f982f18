/* A worker: one process, one event loop (edge-triggered epoll), its own TLS contexts, no locks.
 * This header holds what its files share; the path of a request is listener.c -> client.c ->
 * exchange.c -> upstream.c and back. */
#pragma once
#include "edge/block.h"
#include "edge/edge.h"
#include "edge/timer.h"
#include "proto/http1.h"
#include "proto/route_table.h"
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/un.h>

struct worker;
struct client;

/* An fd on the loop. With edge triggering the flags remember what epoll said until a call would
 * block. */
struct watch {
	int fd; /* -1: dead, waiting to be freed after this round */
	bool readable, writable, hangup;
	void (*event)(struct watch *w);
	struct watch *grave;
};

/* ---- machines and connections to them (upstream.c) ---- */
struct upstream {
	struct upstream *next; /* in its hash chain */
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_un un;
	} addr;
	socklen_t addr_len;
	char machine[MACHINE_ID_LEN + 2];
	bool replaced;        /* another machine has its address now */
	unsigned refs;        /* tables that name it, and connections */
	unsigned tables;      /* 0: it left; connections are not kept any more */
	unsigned active;      /* requests under way */
	uint64_t avoid_until; /* connecting failed a moment ago */
	struct upconn *idle;  /* kept connections, the latest first */
	unsigned nidle;
};

struct upconn {
	struct watch watch;
	struct timer timer;
	struct worker *w;
	struct upstream *u;
	struct client *client; /* NULL: idle in u->idle */
	struct upconn *next, **link;
	struct block *in;
	size_t scanned;
	bool connected, reused, dead_write;
	int error; /* why connecting failed */
};

/* ---- the table as this worker uses it (table.c) ---- */
struct table {
	unsigned refs;
	struct route_table t;
	struct upstream **up; /* of each backend */
};

/* ---- one request and its response (exchange.c) ---- */
enum exchange_phase { EXCHANGE_CONNECT, EXCHANGE_HEAD, EXCHANGE_BODY, EXCHANGE_TUNNEL };
enum { EXCHANGE_TRIES = 3, REQUEST_ID_LEN = 40 };

_Static_assert((int)HTTP1_HOST_MAX <= (int)ROUTE_HOST_LEN_MAX,
    "what the parser lets through fits into host[]");

struct exchange {
	enum exchange_phase phase;
	struct table *table;         /* kept while a retry may need it */
	const struct route_app *app; /* NULL: the API */
	const struct route_pool *pool;
	struct upconn *up;
	struct upstream *tried[EXCHANGE_TRIES];
	unsigned tries;
	struct block *req; /* to the machine; holds the whole head until the response begins */
	/* the request's body, as it is read */
	enum http1_framing req_framing;
	uint64_t req_left;
	struct http1_chunks req_chunks;
	bool req_done, sent_any, expect_continue;
	/* the response's body, as it is read, and how it is written */
	enum http1_framing resp_framing;
	uint64_t resp_left;
	struct http1_chunks resp_chunks;
	bool resp_done, resp_chunked, up_keep;
	/* what of the request is still needed */
	bool head, idempotent, upgrade, keep_alive;
	uint8_t minor;
	char id[REQUEST_ID_LEN];
	char host[ROUTE_HOST_LEN_MAX + 1];
	/* the machine that the client wants: that one or none, or that one if it can; "" for any */
	char force[MACHINE_ID_LEN + 1], prefer[MACHINE_ID_LEN + 1];
};

/* ---- clients (client.c) ---- */
enum client_state { CLIENT_HANDSHAKE, CLIENT_HEAD, CLIENT_EXCHANGE, CLIENT_LAST, CLIENT_LINGER };

struct client {
	struct watch watch;
	struct timer timer, pace;
	uint64_t received, paced; /* bytes in all, and at the last look at the pace */
	struct worker *w;
	struct client *prev, *next; /* all of the worker's */
	struct client *ready;       /* in the list of those that go on next round */
	bool is_ready, dead;
	enum client_state state;
	SSL *ssl; /* NULL: plain */
	const struct listener *from;
	struct sign_job *job; /* a signature asked of the key process */
	struct block *in, *out;
	size_t scanned;
	bool eof;
	bool hungry; /* what is in `in` is not a whole head */
	char ip[INET6_ADDRSTRLEN];
	char sni[ROUTE_HOST_LEN_MAX + 1];
	struct exchange x;
};

struct listener {
	struct watch watch;
	struct worker *w;
	bool tls, paused;
	uint16_t port;
};

struct tls;
struct keys;

enum { UPSTREAM_PLACES = 4096 };

struct worker {
	const struct edge_args *args;
	int epoll;
	uint64_t now_ms;
	struct timers timers;
	struct block_pool blocks;
	struct edge_counters *count;
	struct listener listeners[EDGE_LISTENERS_MAX];
	size_t nlisteners;
	uint16_t https_port;
	bool draining, serving, certificates_ready;
	uint64_t started_ms;
	struct client *clients, *ready;
	unsigned nclients, clients_max, nidle, idle_max; /* idle: kept connections to machines */
	struct watch *graves; /* freed when this round of events is over */
	struct table *table;
	struct upstream *upstreams[UPSTREAM_PLACES];
	struct upstream *api;
	bool replaced; /* some upstream is */
	char api_host[ROUTE_HOST_LEN_MAX + 1];
	struct watch control;
	struct tls *tls;
	struct keys *keys;
	/* scratch, too large for the stack and never needed across two events */
	struct http1_request request;
	struct http1_response response;
	uint8_t random[512];
	size_t random_left;
};

/* loop.c */
int watch_add(struct worker *w, struct watch *watch, struct err *e) must_check; /* edge-triggered */
/* Closes the fd, and frees the object that the watch is the first member of after this round. */
void watch_bury(struct worker *w, struct watch *watch);
int worker_loop(struct worker *w, struct err *e) must_check;

/* listener.c */
int listeners_open(struct worker *w, struct err *e) must_check;
void listeners_resume(struct worker *w);
void listeners_close(struct worker *w);

/* client.c */
void client_new(
    struct worker *w, int fd, const struct listener *from, const struct sockaddr_storage *peer);
void client_run(struct client *c);      /* goes as far as it can */
void client_continue(struct client *c); /* will be run at the end of this round */
void client_close(struct client *c);
/* Reads into c->in / writes c->out. 1: something moved; 0: would block; negative: the connection is
 * over. */
int client_fill(struct client *c);
int client_flush(struct client *c);
void client_next(struct client *c, bool keep); /* the exchange is over */

/* exchange.c */
void exchange_start(struct client *c,
    size_t head); /* w->request is parsed; it is the first `head` bytes of c->in */
void exchange_connected(struct client *c);
void exchange_pace(struct client *c); /* looks whether the request's body comes fast enough */
void exchange_failed(struct client *c, int error); /* its connection could not be made */
void exchange_drop(struct client *c);              /* ends it from the client's side */

/* Ends it with an answer of the edge's own. What of the request's body may still come makes the
 * connection unusable. */
void exchange_give_up(struct client *c, const struct err *e);
/* Its connection broke before the response began: again on another machine where that is safe
 * (fresh: on a new connection, to the same one too), else gives up. */
void exchange_retry(struct client *c, struct err *why, bool fresh);
bool exchange_may_retry(const struct exchange *x);
void exchange_progress(struct client *c); /* something moved: its deadline moves too */
void exchange_finish(struct client *c, bool keep_client, bool keep_upstream);

/* transfer.c: moves bytes; false when nothing moved or the client is gone */
bool exchange_pump(struct client *c);

/* forward.c: heads as they go on; false when they do not fit */
bool forward_request(struct client *c, const struct http1_request *q, struct block *to);
bool forward_response(struct client *c, const struct http1_response *a, struct block *to);
void request_id_make(struct worker *w, char id[REQUEST_ID_LEN]);

/* page.c */
/* Answers by the edge itself with an error code's status, header ward-error and a text; close: the
 * connection ends after it. */
void page_error(struct client *c, const struct err *e, bool close);
void page_redirect(struct client *c, struct bytes path);

/* upstream.c */
struct upstream *upstream_get(
    struct worker *w, const struct route_backend *b); /* counted; NULL: no memory */
struct upstream *upstream_unix(struct worker *w, const char *path);
void upstream_put(struct worker *w, struct upstream *u);
/* A connection for this client's exchange: a kept one, or a new one being made (then
 * exchange_connected or exchange_failed follows, never before this returns). NULL with *ret_error
 * when none can be made. */
struct upconn *upconn_open(
    struct worker *w, struct upstream *u, struct client *c, bool fresh, int *ret_error);
void upconn_close(struct upconn *uc);
void upconn_keep(struct upconn *uc); /* back to its machine's kept ones */
void upstream_drop_idle(struct worker *w, struct upstream *u);
/* Ends all that still speaks to machines whose address has gone to another. */
void upstream_end_replaced(struct worker *w);

/* table.c */
int table_adopt(struct worker *w, int fd, struct err *e) must_check;
struct table *table_ref(struct table *t);
void table_unref(struct worker *w, struct table *t);
/* The machine with the fewest requests that may get one; NULL with an error that says why not. */
struct upstream *table_choose(struct worker *w, const struct exchange *x, struct err *e);

/* tls.c */
int tls_init(struct worker *w, struct err *e) must_check;
int tls_start(struct client *c, struct err *e) must_check;
int tls_handshake(struct client *c); /* 1 done, 0 wait, negative: over */
void tls_stop(struct client *c);
ssize_t tls_read(struct client *c, void *p, size_t n); /* bytes, 0 end, -EAGAIN, negative */
ssize_t tls_write(struct client *c, const void *p, size_t n);
void tls_tickets(struct worker *w, const struct edge_tickets *t);
int tls_certificate(
    struct worker *w, const char *name, uint64_t key, struct bytes pem, struct err *e) must_check;
void tls_certificates_only(struct worker *w, const uint64_t *keys, size_t n); /* drops all others */
bool tls_has(const struct worker *w, uint64_t key);

/* keys.c: the key process, as a worker sees it */
int keys_init(struct worker *w, struct err *e) must_check;
void keys_tick(struct worker *w);  /* connects again when the connection was lost */
void keys_flush(struct worker *w); /* sends the signatures asked in this round */
/* Called inside OpenSSL while it signs for the client of tls_handshake: pauses the handshake until
 * the answer is there. Returns the signature's length, or 0. */
size_t keys_sign(struct worker *w, struct client *c, uint64_t key, const uint8_t *digest,
    size_t len, uint8_t sig[80]);
void keys_forget(struct client *c); /* the client goes away while its signature is under way */
