/* How a daemon comes to its store: where etcd's socket is, and the password that wardd passed. */
#pragma once
#include "base/daemon.h"
#include "store/store.h"

enum { STORE_PASSWORD_BYTES = 32, STORE_PASSWORD_TEXT = 64, STORE_TIMEOUT_MS = 5000 };

/* <run>/etcd.sock: a link that wardd makes to <run>/etcd/client.sock:0, because etcd 3.4 takes
 * "unix://NAME:PORT" only, a name in its working folder with the port in it. */
int store_socket_path(const struct places *p, char dst[108], struct err *e) must_check;

/* Reads the password from the fd that wardd passed as "store-password" and opens the store as this
 * daemon. Does not wait for etcd. */
int store_open_passed(
    const struct places *p, enum daemon who, struct store **ret, struct err *e) must_check;

/* Reads one password, 64 hex digits, from the fd passed under this name. */
int store_read_password(
    const char *name, char dst[STORE_PASSWORD_TEXT + 1], struct err *e) must_check;
