/* A machine's tap: its device, its addresses and routes in this namespace. The kernel keeps the
 * facts (the name and the alias of the link), so that a restarted ward-net finds them again. */
#pragma once
#include "base/id.h"
#include "core/addresses.h"
#include "net/rtnl.h"

/* "t" and the machine's id: exactly the longest name the kernel takes, unique, and readable back.
 * The namespace is the instance's own, so the name needs no instance in it. */
enum { TAP_NAME_LEN = 1 + MACHINE_ID_LEN };
_Static_assert(TAP_NAME_LEN < IFNAMSIZ, "a tap's name must fit");

struct tap {
	char machine[MACHINE_ID_LEN + 1];
	uint32_t network, host, number;
	struct machine_addresses addr;
};

void tap_name(char dst[IFNAMSIZ], const char *machine);

/* The tap that this link is, or false: not one of ours. */
bool tap_from_link(struct tap *t, const struct net_plan *p, const struct rtnl_link *l);

/* Makes or opens the device; the fd is the monitor's. -EBUSY: another holds it open. */
int tap_device_open(const char *tun, const char *name, int *ret_fd, struct err *e) must_check;

/* Addresses, routes and the alias; safe to repeat. */
int tap_configure(
    struct rtnl *r, const struct net_plan *p, const struct tap *t, struct err *e) must_check;
int tap_remove(struct rtnl *r, const char *machine, struct err *e) must_check;
