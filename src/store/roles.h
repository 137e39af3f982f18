/* etcd's roles, made from the key table: for one daemon on one host, the ranges it may read and
 * write. */
#pragma once
#include "store/keys.h"

enum { STORE_RANGES_MAX = 96, STORE_READ = 1, STORE_WRITE = 2 };

struct store_range {
	char begin[STORE_KEY_MAX],
	    end[STORE_KEY_MAX]; /* end "": this one key; else up to, not with, it */
	unsigned may;           /* STORE_READ, STORE_WRITE */
};

/* Fills ranges[STORE_RANGES_MAX], no two with the same begin and end. A row below another row's
 * prefix is cut out where the daemon has no right to it. */
int store_role(enum daemon who, const char *host, struct store_range *ranges, size_t *ret_count,
    struct err *e) must_check;

/* The first key after all keys that begin with prefix; false when it does not fit. */
bool store_prefix_end(const char *prefix, char *dst, size_t size);
