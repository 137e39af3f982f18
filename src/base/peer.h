/* Who answers at a unix socket that lies in another user's folder. A machine's folder is its own:
 * its link.sock may be a link to another machine's, or to a daemon's. */
#pragma once
#include "base/err.h"
#include "base/util.h"

/* fd: connected to path. 0 when the folder is root's, or when who listens there is the folder's
 * owner. */
int peer_check(int fd, const char *path, struct err *e) must_check;
/* The same for a socket that is to be connected now: without waiting. */
int peer_connect(int fd, const char *path, struct err *e) must_check;
/* Must the peer be checked? By its name: only machines' sockets lie in folders that are not the
 * platform's own, and not every program that asks others may look at files. */
bool peer_is_doubtful(const char *path);
