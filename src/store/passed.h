/* How a daemon comes to its store: where etcd's socket is, and the password that wardd passed. */
#pragma once
#include "base/daemon.h"
#include "store/store.h"

enum { STORE_PASSWORD_BYTES = 32, STORE_PASSWORD_TEXT = 64, STORE_TIMEOUT_MS = 5000 };

/* <run>/etcd/etcd.sock:0. etcd 3.4 takes "unix://NAME:PORT" only: a name in its working folder
 * <run>/etcd, with the port in the name. */
int store_socket_path(const struct places *p, char dst[108], struct err *e) must_check;

/* Reads the password from the fd that wardd passed as "store-password" and opens the store as this
 * daemon. Does not wait for etcd. */
int store_open_passed(
    const struct places *p, enum daemon who, struct store **ret, struct err *e) must_check;

/* The arguments for /usr/bin/etcd, NULL-terminated, valid as long as the process. Started as
 * ward-etcd with the working folder <run>/etcd (its own, so that it can make its sockets there) and
 * umask 0111 (the daemons must be able to connect; who they are is told by their passwords). Needs
 * unix sockets alone, so an empty network namespace. */
const char *const *store_etcd_args(const struct places *p);
