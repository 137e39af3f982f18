/* The scratch disk: dm-crypt with a key made here and kept nowhere, and on it a new, empty ext4. */
#pragma once
#include "base/err.h"

/* Makes /dev/dm-0 over `device` and mounts a fresh file system of its whole size at `where` (an
 * existing folder). */
int scratch_mount(const char *device, const char *where, struct err *e) must_check;
