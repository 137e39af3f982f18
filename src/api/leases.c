#include "api/leases.h"
#include "api/lease.h"
#include "base/clock.h"
#include "base/str.h"

static int64_t now_s(void)
{
	return (int64_t)(clock_wall_ms() / 1000);
}

static const char *nonce_of(struct call *c)
{
	return http_header(c->http, "fly-machine-lease-nonce");
}

/* The Machines API has a form of its own for these; "error" and "details" are there as well, so
 * that whoever reads Ward's form finds it. */
static void answer(struct call *c, int status, const char *text, const char *next)
{
	call_json(c, status,
	    json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s}}", "status", "error", "code", "invalid",
		"message", text, "error", text, "details", "cause", text, "next", next));
}

static void answer_conflict(struct call *c, const json_t *record, enum lease_verdict v)
{
	char text[300], at[CLOCK_RFC3339_SIZE];
	if (v == LEASE_UNKNOWN) {
		snprintf(text, sizeof(text),
		    "machine ID %s has no live lease with the nonce that was sent", c->param[1]);
		answer(c, 409, text, "acquire the lease again, or send no nonce");
		return;
	}
	int64_t until = json_integer_value(json_object_get(record, "expires_at"));
	clock_format_rfc3339(at, (uint64_t)until * 1000000);
	snprintf(text, sizeof(text), "machine ID %s lease currently held by %.80s, expires at %s",
	    c->param[1], state_text(record, "owner"), at);
	answer(c, 409, text,
	    "send the lease's nonce in fly-machine-lease-nonce, or wait until it ends");
}

bool call_machine_changing(struct call *c, struct machine_ref *ret)
{
	if (!call_machine(c, ret))
		return false;
	json_t *record = state_get(&c->api->state, VIEW_LOCKS, "%s", c->param[1]);
	enum lease_verdict v = lease_judge(record, nonce_of(c), now_s());
	if (v == LEASE_FREE || v == LEASE_MINE)
		return true;
	answer_conflict(c, record, v);
	return false;
}

/* The record in the store itself, since two calls may come faster than the view follows. */
static int read_lock(
    struct call *c, const char *machine, json_t **ret, int64_t *ret_rev, struct err *e)
{
	char key[CALL_PARAM_SIZE + 16];
	snprintf(key, sizeof(key), "locks/%s", machine);
	*ret = NULL;
	*ret_rev = 0;
	int r = store_get(c->api->store, key, ret, ret_rev, e);
	return r == -ENOENT ? 0 : r;
}

static int write_lock(struct call *c, const char *machine, json_t *record /* NULL: none */,
    int64_t rev, struct err *e)
{
	char key[CALL_PARAM_SIZE + 16];
	snprintf(key, sizeof(key), "locks/%s", machine);
	struct store_compare same = { .key = key, .rev = rev };
	struct store_op op = {
		.kind = record ? STORE_PUT : STORE_DELETE, .key = key, .value = record
	};
	return store_txn(c->api->store, &same, 1, &op, 1, NULL, e);
}

static void answer_data(struct call *c, int status, const json_t *record)
{
	call_json(
	    c, status, json_pack("{s:s, s:o}", "status", "success", "data", lease_show(record)));
}

void leases_show(struct call *c)
{
	struct machine_ref m;
	struct err e;
	cleanup_json json_t *record = NULL;
	int64_t rev;
	if (!call_machine(c, &m))
		return;
	/* From the view when the store is away: a lease that still shows is still in force. */
	if (state_connected(&c->api->state)) {
		if (read_lock(c, c->param[1], &record, &rev, &e) < 0) {
			call_fail(c, &e);
			return;
		}
	} else {
		record = json_incref(state_get(&c->api->state, VIEW_LOCKS, "%s", c->param[1]));
	}
	if (lease_judge(record, NULL, now_s()) == LEASE_FREE) {
		answer(c, 404, "lease not found", "POST to the same path acquires one");
		return;
	}
	/* With the nonce, as the Machines API does: `fly machine leases clear` needs it. */
	answer_data(c, 200, record);
}

void leases_create(struct call *c)
{
	struct machine_ref m;
	struct err e;
	int64_t ttl = LEASE_TTL_DEFAULT, rev;
	cleanup_json json_t *record = NULL;
	if (!call_machine(c, &m))
		return;
	json_t *given = json_object_get(c->body, "ttl");
	if (json_is_integer(given))
		ttl = json_integer_value(given);
	if (!call_query_int(c, "ttl", 1, 24 * 3600, &ttl))
		return;
	if (read_lock(c, c->param[1], &record, &rev, &e) < 0) {
		call_fail(c, &e);
		return;
	}
	enum lease_verdict v = lease_judge(record, nonce_of(c), now_s());
	if (v == LEASE_HELD || v == LEASE_UNKNOWN) {
		answer_conflict(c, record, v);
		return;
	}
	const char *description = state_text(c->body, "description");
	if (v == LEASE_MINE && !*description)
		description = state_text(record, "description");
	cleanup_json json_t *fresh = lease_make(v == LEASE_MINE ? nonce_of(c) : NULL, c->who,
	    description, state_text(m.desired, "instance_id"), now_s() + ttl);
	if (!fresh) {
		call_failf(c, ERR_NO_MEMORY, "no memory for a lease");
	} else if (write_lock(c, c->param[1], fresh, rev, &e) < 0) {
		if (e.code == ERR_CONFLICT)
			answer_conflict(c, record, LEASE_UNKNOWN); /* someone was faster */
		else
			call_fail(c, &e);
	} else {
		answer_data(c, v == LEASE_MINE ? 200 : 201, fresh);
	}
}

void leases_release(struct call *c)
{
	struct machine_ref m;
	struct err e;
	cleanup_json json_t *record = NULL;
	int64_t rev;
	if (!call_machine(c, &m))
		return;
	if (!nonce_of(c)) {
		answer(c, 400, "the header fly-machine-lease-nonce is missing",
		    "send the nonce that the lease was given with");
		return;
	}
	if (read_lock(c, c->param[1], &record, &rev, &e) < 0) {
		call_fail(c, &e);
		return;
	}
	enum lease_verdict v = lease_judge(record, nonce_of(c), now_s());
	if (v == LEASE_UNKNOWN)
		answer(c, 404, "lease not found", "it has ended already: nothing is to be done");
	else if (v != LEASE_MINE)
		answer_conflict(c, record, v);
	else if (write_lock(c, c->param[1], NULL, rev, &e) < 0)
		call_fail(c, &e);
	else
		call_json(
		    c, 200, json_pack("{s:s, s:{s:b}}", "status", "success", "data", "ok", 1));
}

int lease_take(struct call *c, const char *machine, const char *version, int64_t ttl_s,
    char ret_nonce[32], struct err *e)
{
	cleanup_json json_t *record = NULL;
	int64_t rev;
	int r = read_lock(c, machine, &record, &rev, e);
	if (r < 0)
		return r;
	const char *nonce = nonce_of(c);
	enum lease_verdict v = lease_judge(record, nonce, now_s());
	if (v == LEASE_HELD)
		return err_set(e, ERR_CONFLICT, "another holds the machine's lease");
	cleanup_json json_t *fresh =
	    lease_make(v == LEASE_MINE ? nonce : NULL, c->who, "", version, now_s() + ttl_s);
	if (!fresh)
		return err_set(e, ERR_NO_MEMORY, "no memory for a lease");
	r = write_lock(c, machine, fresh, rev, e);
	if (r == 0)
		str_copy(ret_nonce, 32, state_text(fresh, "nonce"));
	return r;
}
