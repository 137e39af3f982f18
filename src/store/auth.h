/* etcd's users and roles, brought to what the key table says. Idempotent: each run leaves the same,
 * whatever was there. */
#pragma once
#include "store/etcd.h"
#include "store/keys.h"

/* Passwords as 64 hex digits, by name; NULL where there is none. */
struct store_passwords {
	const char *root;
	const char *of[DAEMON_MAX];
};

/* root is opened as user "root". Waits up to wait_ms for etcd to answer. Then: the root user, a
 * role and a user for each daemon of the table on this host, what is not in the table removed,
 * authentication on. *ret_changes counts what had to be changed. */
int store_auth_apply(struct store *root, const char *host, const struct store_passwords *p,
    int wait_ms, unsigned *ret_changes, struct err *e) must_check;

/* Compacts, and where the no-space alarm stands: defragments and lifts it. *ret_lifted: it stood.
 */
int store_maintain(struct store *root, bool *ret_lifted, struct err *e) must_check;
