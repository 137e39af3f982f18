/* One question to etcd's JSON gateway (etcd 3.4 API reference; grpc-gateway error bodies
 * {"error","code"}), and the session it is asked in. Only src/store uses this. */
#pragma once
#include "base/daemon.h"
#include "http/client.h"
#include "store/store.h"

enum { ETCD_ANSWER_MAX = 64 * 1024 * 1024, ETCD_TOKEN_MAX = 128 };

/* gRPC status codes that mean something here. */
enum {
	GRPC_INVALID = 3,
	GRPC_NOT_FOUND = 5,
	GRPC_FORBIDDEN = 7,
	GRPC_EXHAUSTED = 8,
	GRPC_PRECONDITION = 9,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNAUTHENTICATED = 16
};

struct store {
	char *socket_path, *user, *password;
	enum daemon who; /* DAEMON_MAX: not one of the daemons (root) */
	int timeout_ms;
	char token[ETCD_TOKEN_MAX]; /* "": not logged in */
	bool anonymous;             /* before authentication is enabled */
	struct http_client *client; /* of the views */
	unsigned views;
};

/* Asks, logged in; logs in again, once, when the token has died (nothing was applied then).
 * *ret_code (may be NULL) is the gRPC code of a refusal, 0 where there was none. *ret is the
 * answer. */
int etcd_call(struct store *s, const char *path, const json_t *body, json_t **ret, int *ret_code,
    struct err *e) must_check;

int etcd_login(struct store *s, struct err *e) must_check;
/* For the views, which ask on the event loop: the login's body (wipe and free it), and its answer.
 */
char *etcd_login_body(const struct store *s, struct err *e) must_check;
int etcd_login_answer(struct store *s, int status, struct bytes body, struct err *e) must_check;

/* An answer's bytes to JSON or the error it tells. */
int etcd_answer(
    int status, struct bytes body, json_t **ret, int *ret_code, struct err *e) must_check;

/* The gateway's forms: bytes as base64, 64-bit numbers as strings, absent for zero. */
json_t *etcd_bytes(const char *s);
json_t *etcd_number(int64_t n);
int64_t etcd_get_number(const json_t *o, const char *key);
/* base64 member to text; NULL (and no error) where it is absent, no base64, holds a NUL or no
 * memory. The caller frees. */
char *etcd_get_bytes(const json_t *o, const char *key, size_t *ret_len);
int64_t etcd_revision(const json_t *answer);

/* {"key","range_end"} of everything below prefix; "" is everything. */
int etcd_put_range(json_t *o, const char *begin, const char *prefix, struct err *e) must_check;
