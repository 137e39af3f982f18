/* Which machine answers for which app: the edge's route table as a pure function of what the store
 * says and what the checks found. */
#pragma once
#include "base/err.h"
#include "base/id.h"
#include <stdbool.h>
#include <stdint.h>

enum { ROUTES_SERVICES_MAX = 8 };

enum routes_health { ROUTES_UNCHECKED, ROUTES_PASSING, ROUTES_NOT_PASSING };

struct routes_service {
	uint16_t internal_port;
	bool tls, plain; /* has a port with handlers tls and http; with http alone */
	bool force_https;
	bool by_connections;
	uint32_t soft, hard;
	enum routes_health health;
};

struct routes_machine {
	char id[MACHINE_ID_LEN + 1], app[APP_ID_LEN + 1];
	bool wanted;     /* control wants it started, and not cordoned, and as it is now */
	bool started;    /* it runs, as observed */
	uint8_t ipv4[4]; /* all zero: not known */
	struct routes_service service[ROUTES_SERVICES_MAX];
	size_t nservices;
};

struct routes_app {
	char id[APP_ID_LEN + 1], name[64];
	char created_at[28]; /* RFC 3339: of two with one name the older keeps it */
};

enum routes_verdict { ROUTES_SERVES, ROUTES_UNHEALTHY, ROUTES_RESTS, ROUTES_NO_SERVICE };

/* Whether a machine may get requests that came to this side; *ret_service is the service that they
 * go to (the first that fits). */
enum routes_verdict routes_judge(const struct routes_machine *m, bool tls, size_t *ret_service);

/* ---- the plan ---- */
struct routes_side {
	bool present, force_https;
	uint16_t app_port;
	uint32_t first, count; /* in routes.backend */
	uint32_t unhealthy, resting;
};
struct routes_backend {
	const struct routes_machine *machine;
	const struct routes_service *service;
};
struct routes_entry {
	const struct routes_app *app;
	struct routes_side plain, tls;
};
struct routes {
	struct routes_entry *entry;
	size_t count, refused; /* refused: apps whose name another app, or the platform, has */
	struct routes_backend *backend;
	size_t nbackends;
};

/* apps sorted by name, then created_at, then id; machines sorted by app then id: the same view
 * always gives the same plan. Names in `reserved` (NULL-terminated) are the platform's. *ret points
 * into apps and machines; routes_done frees the rest. */
int routes_plan(const struct routes_app *apps, size_t napps, const struct routes_machine *machines,
    size_t nmachines, const char *const *reserved, struct routes *ret, struct err *e) must_check;
void routes_done(struct routes *r);
