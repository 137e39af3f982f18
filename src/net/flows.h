/* Connections that the kernel tracks. */
#pragma once
#include "core/addresses.h"

/* Forgets every connection from or to the machine's addresses, so that late packets of an old
 * machine's peers never reach the next machine that gets its number. */
int flows_forget(const struct machine_addresses *m, struct err *e) must_check;
