/* From root to somebody with next to nothing. */
#pragma once
#include "base/err.h"
#include "base/util.h"
#include <sys/types.h>

/* Becomes uid, gid and exactly these groups for good, keeps the capabilities in `caps` (bit
 * 1<<CAP_X; also across an execve), takes all others out of every set including the bounding one,
 * and sets no_new_privs. Verifies what came of it. */
int rights_drop(uid_t uid, gid_t gid, const gid_t *groups, size_t ngroups, uint64_t caps,
    struct err *e) must_check;

/* Root without what it will never need: takes all capabilities but `caps` out of this process's
 * sets and of its bounding set, so that no child can have them either. */
int rights_limit(uint64_t caps, struct err *e) must_check;

/* If the host's out-of-memory killer was told to spare this process (as wardd's service is), it is
 * told so no more: that is not for what wardd starts. */
int rights_oom_reset(struct err *e) must_check;
