/* The image's own users: "User" of an OCI image is uid, uid:gid, name, name:group or any mix; names
 * are looked up in the image's /etc/passwd and /etc/group, never in the guest's libc (which would
 * read other files and load code). Pure. */
#pragma once
#include "base/err.h"
#include "base/util.h"
#include <sys/types.h>

enum { USER_GROUPS_MAX = 64, USER_HOME_MAX = 256 };

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_GROUPS_MAX]; /* supplementary; without an explicit group only, as
					  container engines do */
	size_t ngroups;
	char home[USER_HOME_MAX]; /* "/" when not known */
	char name[64];            /* "" when not known */
};

/* passwd and group: the files' text, NULL when the image has none. spec NULL or "": root. */
int user_find(const char *spec, const char *passwd, const char *group, struct user *ret,
    struct err *e) must_check;
