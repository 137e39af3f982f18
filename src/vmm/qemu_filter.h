/* The seccomp filter under QEMU, set before it is executed. A list of what is refused, not of what
 * is allowed: QEMU's needs change with its version, and the cage (own uid, empty network, no /proc)
 * holds without it. */
#pragma once
#include "base/err.h"

int qemu_filter_set(struct err *e) must_check;
