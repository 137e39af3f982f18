/* The seccomp filter under wardd, and so under everything that it starts, etcd and skopeo too: what
 * no part of Ward ever does. Daemons and cages set narrower ones on top. */
#pragma once
#include "base/err.h"
#include "base/util.h"

int filter_set(struct err *e) must_check;
