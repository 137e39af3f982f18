/* ward-api's parts, and one call on its way through them:
 *
 *   http/server -> route (routes.c) -> gate (gate.c) -> body by its schema (schema.c) -> handler
 *
 * A handler answers at once, or waits: for a change of the state, for another program, for time. */
#pragma once
#include "api/gate.h"
#include "api/schema.h"
#include "api/state.h"
#include "base/daemon.h"
#include "http/client.h"
#include "http/server.h"

enum { CALL_PARAMS_MAX = 3, CALL_PARAM_SIZE = 136 };

struct call;
typedef void (*handler_fn)(struct call *c);

enum route_flags {
	ROUTE_STREAM = 1,   /* the handler takes the body itself */
	ROUTE_OWN = 2,      /* Ward's own path: closed objects, no unknown fields */
	ROUTE_CHANGE = 4,   /* refused while the store is away */
	ROUTE_NO_STATE = 8, /* answers even before the state was ever read */
};

struct route {
	const char *method, *pattern; /* "/v1/apps/{app}": braces take one segment */
	const char *operation;        /* docs/openapi.json's operationId */
	enum right right;
	unsigned flags;
	const struct schema *body; /* NULL: none is read */
	handler_fn handle;
};

struct api {
	sd_event *loop;
	struct places places;
	const char *region;
	struct store *store;
	struct state state;
	struct gate gate;
	struct http_client *client;
	struct http_server *server;
	struct call *waiting;
	sd_event_source *kick; /* state changed: look after who waits */
	const char *openapi;
	size_t openapi_len;
	uint64_t blob_max;
	unsigned uploads;
};

struct call {
	struct api *api;
	struct http_request *http; /* the call ends with it */
	const struct route *route;
	char who[GATE_WHO_MAX];
	char param[CALL_PARAMS_MAX][CALL_PARAM_SIZE];
	json_t *body; /* checked; an empty object when none came */

	/* while it waits */
	struct call *prev, *next;
	bool waiting;
	sd_event_source *timer;
	bool (*check)(struct call *c);
	void (*late)(struct call *c);

	/* what a handler keeps for itself */
	void *work;
	void (*work_free)(void *work);
	struct ask *ask; /* request.c */
};

/* ---- call.c ---- */
void api_handle(void *api, struct http_request *r); /* http/server's handler */
bool api_wants_stream(void *api, const char *method, const char *path);
void api_changed(struct api *api);

/* Answers; c is gone after each. */
void call_json(struct call *c, int status, json_t *body /* taken; NULL: no memory */);
void call_fail(struct call *c, const struct err *e);
void call_failf(struct call *c, enum err_code code, const char *fmt, ...) printf_like(3, 4);
void call_ok(struct call *c); /* 200 {"ok":true} */

/* check is called now and after each change of the state, until it returns true: then it has
 * answered, and the call is gone. After ms, late is called instead and must answer. */
void call_wait(
    struct call *c, uint64_t ms, bool (*check)(struct call *c), void (*late)(struct call *c));
void call_work(struct call *c, void *work, void (*work_free)(void *work));
void call_warn(struct call *c, const char *text);

/* ---- the objects a path names: answer 404 and return NULL or false when they are not there ----
 */
json_t *call_app(struct call *c);                                    /* {app} is param 0 */
bool call_machine(struct call *c, struct machine_ref *ret);          /* {machine} is param 1 */
bool call_machine_changing(struct call *c, struct machine_ref *ret); /* and its lease allows it */

/* Query parameters: false (and answered) when malformed. */
bool call_query_int(struct call *c, const char *key, int64_t min, int64_t max, int64_t *ret);
bool call_query_bool(struct call *c, const char *key, bool *ret);
bool call_query_ms(
    struct call *c, const char *key, int64_t max, int64_t *ret); /* "10s" or seconds */
