/* Questions that are not about .internal go to the host's resolvers, each on a socket of its own
 * (so its source port and id are hard to guess), over the protocol the asker used. Bounded in
 * number and time. */
#pragma once
#include "base/err.h"
#include "base/util.h"
#include <netinet/in.h>
#include <systemd/sd-event.h>

enum {
	UPSTREAM_SERVERS_MAX = 4,
	UPSTREAM_PENDING_MAX = 512,
	UPSTREAM_TRY_MS = 2000,
	UPSTREAM_TRIES_MAX = 4
};

struct upstream;
struct exchange;

/* answer NULL: none came. Called once, from the loop, unless cancelled. */
typedef void (*upstream_fn)(void *arg, const uint8_t *answer, size_t len);

/* address: "192.0.2.1", "2001:db8::1"; port 53 unless "address#port". */
int upstream_new(struct upstream **ret, sd_event *loop, const char *const *address, size_t n,
    struct err *e) must_check;
size_t upstream_servers(const struct upstream *u);

/* -EAGAIN: too many are pending. *ret may be cancelled until fn was called. */
int upstream_ask(struct upstream *u, const uint8_t *query, size_t len, bool tcp, upstream_fn fn,
    void *arg, struct exchange **ret) must_check;
void upstream_cancel(struct exchange *x); /* NULL is fine */
