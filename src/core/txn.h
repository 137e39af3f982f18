/* What a decision wants written, all of it or nothing: the store's transaction as plain data. */
#pragma once
#include "base/json.h"

enum {
	TXN_OPS_MAX = 48,
	TXN_KEY_MAX = 192,
	TXN_ANY = -1,
	TXN_VALUE_MAX = 256 * 1024, /* of one record */
	TXN_BYTES_MAX = 900 * 1024, /* of all together, as the store takes them */
};

struct txn_op {
	char key[TXN_KEY_MAX];
	json_t *value;     /* owned; NULL: delete, unless only_compare */
	bool only_compare; /* nothing is written: it must only still be as it was */
	int64_t
	    rev; /* the key's revision this was decided on; 0: absent; TXN_ANY: whatever it is */
};

struct txn {
	struct txn_op op[TXN_OPS_MAX];
	size_t n, bytes;
	bool failed; /* did not fit, or no memory: must not be carried out */
};

void txn_init(struct txn *t);
void txn_done(struct txn *t);
/* Takes value over. */
void txn_put(struct txn *t, int64_t rev, json_t *value, const char *fmt, ...) printf_like(4, 5);
void txn_delete(struct txn *t, int64_t rev, const char *fmt, ...) printf_like(3, 4);
void txn_require(struct txn *t, int64_t rev, const char *fmt, ...) printf_like(3, 4);
/* Whether so many more fit, one of them as large as records get. */
bool txn_room(const struct txn *t, size_t ops);
