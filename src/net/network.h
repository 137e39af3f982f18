/* The machines' network as a whole: which taps there are, and the rules that hold for exactly
 * these. */
#pragma once
#include "net/rules.h"
#include "net/tap.h"
#include "proto/ipc_net.h"

struct network {
	struct rules rules;
	const char *tun; /* /dev/net/tun, in our view of the file system */
	struct rtnl *rtnl;
	struct tap tap[NET_MACHINES_MAX];
	size_t taps;
};

/* Settings, resolver address, rules; adopts the taps that the kernel has. */
int network_start(struct network *n, struct err *e) must_check;
void network_stop(struct network *n); /* leaves taps and rules in place */

/* ask's strings may lack their NUL: they are checked here. *ret_fd is the caller's. */
int network_tap_open(struct network *n, const struct net_tap *ask, struct net_answer *ret,
    int *ret_fd, struct err *e) must_check;
int network_tap_remove(struct network *n, const struct net_tap *ask, struct err *e) must_check;
