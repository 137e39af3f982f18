/* Ward's state in etcd, by its JSON gateway over a unix socket. Calls block, each within
 * `timeout_ms` of store_open; the view follows changes on the caller's event loop. Source: etcd 3.4
 * API reference (KV, Watch, Lease, Auth). */
#pragma once
#include "base/json.h"
#include <systemd/sd-event.h>

struct store; /* one daemon's logged-in connection; logs in again by itself when its token has died
		 (code 16) */

/* user: the daemon's name; password: as wardd passed it. Does not wait for etcd: the first call
 * does, within its bound. */
int store_open(const char *socket_path, const char *user, const char *password, int timeout_ms,
    struct store **ret, struct err *e) must_check;
void store_close(struct store *s); /* NULL is fine */

/* *ret: parsed JSON value (caller decrefs) and the key's modification revision. Absent: -ENOENT,
 * ERR_NOT_FOUND. */
int store_get(
    struct store *s, const char *key, json_t **ret, int64_t *ret_rev, struct err *e) must_check;

/* Calls fn for each key under prefix, in order, in pages; *ret_rev (may be NULL) is the revision
 * all of it was read at. */
int store_list(struct store *s, const char *prefix,
    int (*fn)(void *arg, const char *key, json_t *value, int64_t rev, struct err *e), void *arg,
    int64_t *ret_rev, struct err *e) must_check;

/* A transaction: every compare holds, then all operations are done at one revision; else nothing.
 * At most 64 of each. */
enum store_op_kind { STORE_PUT, STORE_DELETE };
struct store_compare {
	const char *key;
	int64_t rev; /* 0: the key must not exist; else its modification revision */
};
struct store_op {
	enum store_op_kind kind;
	const char *key;
	json_t *value; /* PUT: borrowed */
	int64_t lease; /* PUT: 0 for none */
};
/* 0 done (*ret_rev, may be NULL); -EAGAIN with ERR_CONFLICT: a compare did not hold. Sizes and
 * writers are checked against the key table first. */
int store_txn(struct store *s, const struct store_compare *cmp, size_t ncmp,
    const struct store_op *ops, size_t nops, int64_t *ret_rev, struct err *e) must_check;

int store_put(
    struct store *s, const char *key, json_t *value, int64_t lease, struct err *e) must_check;
int store_delete(struct store *s, const char *key, struct err *e) must_check; /* absent is fine */

int store_lease_grant(struct store *s, int64_t ttl_s, int64_t *ret_lease, struct err *e) must_check;
int store_lease_keep(struct store *s, int64_t lease, int64_t *ret_ttl_s,
    struct err *e) must_check; /* ttl 0: it is gone */
int store_lease_revoke(struct store *s, int64_t lease, struct err *e) must_check;

/* ---- views: everything under a prefix, kept level with the store ---- */

struct store_view;

/* changed is called from the event loop with a key whose value is new (value borrowed) or gone
 * (NULL); once the first listing is whole, with key NULL ("synced"), and again after each
 * re-listing. Events not newer than what the view holds are dropped; on doubt (cancelled,
 * compacted, disconnected, 5 minutes) it lists again and tells deletions from the difference. Never
 * gives up: retries with back-off. */
typedef void (*store_changed_fn)(void *arg, const char *key, json_t *value);
int store_view_open(struct store *s, sd_event *loop, const char *prefix, store_changed_fn changed,
    void *arg, struct store_view **ret, struct err *e) must_check;
void store_view_close(struct store_view *v);

json_t *store_view_get(
    const struct store_view *v, const char *key, int64_t *ret_rev); /* borrowed; NULL if absent */
/* Calls fn in key order; stops at a non-zero return and returns it. */
int store_view_each(const struct store_view *v,
    int (*fn)(void *arg, const char *key, json_t *value, int64_t rev), void *arg);
bool store_view_synced(const struct store_view *v);    /* has been whole at least once */
bool store_view_connected(const struct store_view *v); /* the watch stands now */
int64_t store_view_revision(const struct store_view *v);
const char *store_view_cluster(const struct store_view *v); /* whose revisions; "" before synced */
/* Why it is not connected; code ERR_NONE while it is. For logs: a view never gives up. */
const struct err *store_view_error(const struct store_view *v);
