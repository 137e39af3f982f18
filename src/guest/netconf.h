/* The guest's network: static addresses from the run config, no DHCP, no router advertisements. */
#pragma once
#include "guest/runconf.h"

/* Brings up lo, and eth0 with IPv4 /32 and IPv6 /112, each with a default route by a gateway that
 * is reached on-link. */
int netconf_apply(const struct runconf *c, struct err *e) must_check;
