/* The key table: every key of Ward's state, its one writer (or the few that share it by
 * transactions), its readers, and the size limit of its value. etcd's roles are made from it
 * (roles.h), and store_txn checks against it before it asks. */
#pragma once
#include "base/daemon.h"

struct store_key {
	const char *pattern;   /* segments by '/'; "<name>" stands for any one segment */
	unsigned writers;      /* bits 1 << enum daemon */
	unsigned readers;      /* on every host */
	unsigned readers_here; /* only of their own host's keys: "<host>" is their host */
	size_t max;            /* bytes of the value as JSON */
};

extern const struct store_key store_keys[];
extern const size_t store_keys_count;

enum { STORE_KEY_MAX = 256, STORE_VALUE_MAX = 256 * 1024 };

/* The row that this key belongs to (the most exact one), or NULL. Segments are of letters, digits
 * and -_. and not empty. */
const struct store_key *store_key_find(const char *key);

/* May this daemon write a value of this size there? The error says who may, or how large. */
int store_key_check(const char *key, enum daemon who, size_t size, struct err *e) must_check;

/* Does this daemon appear in the table, so that it has a user in the store? */
bool store_has_user(enum daemon who);
