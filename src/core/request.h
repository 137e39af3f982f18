/* A request of the API turned into what is to be written: (view, request) -> transaction and
 * outcome. The API has checked who asks, machine leases, and the config's form; here is checked
 * what only the whole view can tell. docs/architecture.md lists the kinds. */
#pragma once
#include "core/txn.h"
#include "core/world.h"

/* Adds to *t what the request changes and the outcome record (outcomes/<id>). Refusals are outcomes
 * too: then the outcome alone is written. Errors only when nothing sensible can be written (no
 * memory, no id). */
int request_decide(const struct world *w, const char *id, const json_t *request,
    const struct fresh *fresh, struct txn *t, struct err *e) must_check;

/* Housekeeping that no request asks for: deleted apps' machines and records, records of destroyed
 * machines. At most one transaction's worth; empty when there is nothing. */
enum {
	SWEEP_DESTROYED_MS = 5 * 60 * 1000,
	SWEEP_DEPLOYS_KEPT = 20, /* of each app */
	SWEEP_RELEASES_KEPT = 100,
};
void sweep_decide(const struct world *w, const struct fresh *fresh, struct txn *t);
