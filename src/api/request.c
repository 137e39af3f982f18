#include "api/request.h"
#include "api/lease.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

struct ask {
	char id[ULID_LEN + 1];
	int64_t rev; /* of our record */
	void (*then)(struct call *c, int status, json_t *result);
};

void ask_free(struct ask *a)
{
	free(a);
}

/* ---- the outcome ---- */

/* {"error": sentence, "code": "kebab-case", "next"} with a status, or the code alone decides it. */
static void answer_refused(struct call *c, int status, const json_t *outcome)
{
	const char *text = json_string_value(json_object_get(outcome, "error"));
	const char *code = json_string_value(json_object_get(outcome, "code"));
	const char *next = json_string_value(json_object_get(outcome, "next"));
	struct err e;
	enum err_code known = code ? err_code_find(code) : ERR_NONE;
	if (known == ERR_NONE)
		known = status == 404   ? ERR_NOT_FOUND
			: status == 409 ? ERR_CONFLICT
			: status == 412 ? ERR_PRECONDITION
			: status >= 500 ? ERR_INTERNAL
					: ERR_INVALID;
	(void)err_set(&e, known, "%.380s", text ? text : "the request was refused");
	if (next && *next)
		err_next(&e, "%.230s", next);
	call_fail(c, &e);
}

static bool check_outcome(struct call *c)
{
	json_t *outcome = state_get(&c->api->state, VIEW_OUTCOMES, "%s", c->ask->id);
	if (!outcome)
		return false;
	int status = (int)json_integer_value(json_object_get(outcome, "status"));
	json_t *error = json_object_get(outcome, "error");
	if (status >= 400 || (error && !json_is_null(error)))
		answer_refused(c, status, outcome);
	else
		c->ask->then(c, status, json_object_get(outcome, "result"));
	return true;
}

static void late_outcome(struct call *c)
{
	/* Taken back, so that it is not done behind the client's back when control returns: at one
	 * revision there is no outcome and the request is gone. */
	char key[64], outcome[64];
	struct err e;
	snprintf(key, sizeof(key), "requests/%s", c->ask->id);
	snprintf(outcome, sizeof(outcome), "outcomes/%s", c->ask->id);
	struct store_compare same[] = { { .key = key, .rev = c->ask->rev },
		{ .key = outcome, .rev = 0 } };
	struct store_op drop = { .kind = STORE_DELETE, .key = key };
	if (store_txn(c->api->store, same, countof(same), &drop, 1, NULL, &e) < 0)
		(void)err_set(&e, ERR_UNAVAILABLE,
		    "ward-control did not decide within %d s, and the request could not be taken "
		    "back: it may still be done",
		    REQUEST_WAIT_MS / 1000);
	else
		(void)err_set(&e, ERR_UNAVAILABLE,
		    "ward-control did not decide within %d s; the request was taken back and "
		    "nothing was changed",
		    REQUEST_WAIT_MS / 1000);
	call_fail(c, &e);
}

void call_request(struct call *c, const char *kind, const char *app_id, const char *machine,
    json_t *body, void (*then)(struct call *c, int status, json_t *result))
{
	struct err e;
	char key[64], at[CLOCK_RFC3339_SIZE];
	struct ask *a = calloc(1, sizeof(*a));
	cleanup_json json_t *record = NULL;
	uint64_t now = clock_wall_ms();
	clock_format_rfc3339(at, now * 1000);
	if (a) {
		id_ulid(a->id, now);
		a->then = then;
		record = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s*, s:s*, s:O}", "v", 1, "id",
		    a->id, "kind", kind, "actor", c->who, "at", at, "app", app_id, "machine",
		    machine, "body", body);
	}
	json_decref(body);
	if (!record) {
		free(a);
		call_failf(c, ERR_NO_MEMORY, "no memory for a request");
		return;
	}
	ask_free(c->ask);
	c->ask = a;
	snprintf(key, sizeof(key), "requests/%s", a->id);
	struct store_compare fresh = { .key = key, .rev = 0 };
	struct store_op put = { .kind = STORE_PUT, .key = key, .value = record };
	int r = store_txn(c->api->store, &fresh, 1, &put, 1, &a->rev, &e);
	if (r < 0) {
		if (e.code != ERR_TOO_LARGE && e.code != ERR_INVALID)
			(void)err_set(&e, ERR_UNAVAILABLE,
			    "the request could not be recorded: the store does not answer");
		call_fail(c, &e);
		return;
	}
	call_wait(c, REQUEST_WAIT_MS, check_outcome, late_outcome);
}

/* ---- requests that are decided ---- */

enum { TIDY_MAX = 16 };

struct tidy {
	const struct state *state;
	char key[TIDY_MAX][64];
	int64_t rev[TIDY_MAX];
	size_t n;
};

static int collect_decided(void *arg, const char *id, json_t *value)
{
	struct tidy *t = arg;
	if (strlen(id) == ULID_LEN && state_get(t->state, VIEW_OUTCOMES, "%s", id))
		snprintf(t->key[t->n++], sizeof(t->key[0]), "requests/%s", id);
	return t->n == TIDY_MAX;
}

static int collect_ended_lock(void *arg, const char *key, json_t *value, int64_t rev)
{
	struct tidy *t = arg;
	if (lease_is_live(value, (int64_t)(clock_wall_ms() / 1000)) ||
	    !str_copy(t->key[t->n], sizeof(t->key[0]), key))
		return 0;
	t->rev[t->n++] = rev;
	return t->n == TIDY_MAX;
}

/* Leases that have ended, of machines that may be gone as well: unless somebody has taken them
 * anew. */
static void tidy_locks(struct api *api)
{
	struct tidy t = { .state = &api->state };
	(void)store_view_each(api->state.view[VIEW_LOCKS], collect_ended_lock, &t);
	for (size_t i = 0; i < t.n; i++) {
		struct err e;
		struct store_compare same = { .key = t.key[i], .rev = t.rev[i] };
		struct store_op drop = { .kind = STORE_DELETE, .key = t.key[i] };
		if (store_txn(api->store, &same, 1, &drop, 1, NULL, &e) < 0 &&
		    e.code != ERR_CONFLICT) {
			log_err(&e, "removing %s", t.key[i]);
			return;
		}
	}
}

void requests_tidy(struct api *api)
{
	struct tidy t = { .state = &api->state };
	if (!state_connected(&api->state))
		return;
	state_each(&api->state, VIEW_REQUESTS, "", collect_decided, &t);
	for (size_t i = 0; i < t.n; i++) {
		struct err e;
		if (store_delete(api->store, t.key[i], &e) < 0) {
			log_err(&e, "removing %s", t.key[i]);
			return; /* the next change tries again */
		}
	}
	tidy_locks(api);
}
