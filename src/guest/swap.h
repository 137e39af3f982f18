/* Swap space (init.swap_size_mb): a file on the scratch disk, so what is swapped is encrypted with
 * a key that dies with the boot. */
#pragma once
#include "base/err.h"
#include <stdint.h>

int swap_start(uint64_t mib, struct err *e) must_check;
