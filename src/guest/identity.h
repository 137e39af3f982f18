/* The small files that make the root this machine's: hostname, hosts, resolv.conf, and the config's
 * own `files`. */
#pragma once
#include "guest/runconf.h"

int identity_write(const struct runconf *c, struct err *e) must_check;
