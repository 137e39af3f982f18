#include "core/txn.h"

void txn_init(struct txn *t)
{
	t->n = t->bytes = 0;
	t->failed = false;
}

void txn_done(struct txn *t)
{
	for (size_t i = 0; i < t->n; i++)
		json_decref(t->op[i].value);
	txn_init(t);
}

bool txn_room(const struct txn *t, size_t ops)
{
	return t->n + ops <= TXN_OPS_MAX && t->bytes <= TXN_BYTES_MAX - TXN_VALUE_MAX;
}

static void printf_like(4, 0)
    add(struct txn *t, int64_t rev, json_t *value, const char *fmt, va_list ap)
{
	t->bytes += value ? json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) : 0;
	if (t->n == TXN_OPS_MAX || t->bytes > TXN_BYTES_MAX) {
		t->failed = true;
		json_decref(value);
		return;
	}
	struct txn_op *op = &t->op[t->n];
	int n = vsnprintf(op->key, sizeof(op->key), fmt, ap);
	if (n < 0 || (size_t)n >= sizeof(op->key)) {
		t->failed = true;
		json_decref(value);
		return;
	}
	op->value = value;
	op->only_compare = false;
	op->rev = rev;
	t->n++;
}

void txn_put(struct txn *t, int64_t rev, json_t *value, const char *fmt, ...)
{
	if (!value) {
		t->failed = true;
		return;
	}
	va_list ap;
	va_start(ap, fmt);
	add(t, rev, value, fmt, ap);
	va_end(ap);
}

void txn_delete(struct txn *t, int64_t rev, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add(t, rev, NULL, fmt, ap);
	va_end(ap);
}

void txn_require(struct txn *t, int64_t rev, const char *fmt, ...)
{
	size_t before = t->n;
	va_list ap;
	va_start(ap, fmt);
	add(t, rev, NULL, fmt, ap);
	va_end(ap);
	if (t->n > before)
		t->op[before].only_compare = true;
}
