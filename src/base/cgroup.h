/* Control groups, the same on cgroup v2 and on v1 (and on hosts that have both): a group is a path
 * below every hierarchy that holds one of cpu, memory and pids. wardd makes and removes them,
 * ward-jail enters one. */
#pragma once
#include "base/err.h"
#include "base/util.h"
#include <sys/types.h>

enum cgroup_controller { CGROUP_CPU, CGROUP_MEMORY, CGROUP_PIDS, CGROUP_MAX };

struct cgroups {
	char mount[CGROUP_MAX][96]; /* where the hierarchy with this controller is mounted; v2:
				       three times the same */
	bool v2[CGROUP_MAX];
};

struct cgroup_limits {
	uint32_t cpu_percent; /* of one CPU: 200 is two; 0: no limit */
	uint64_t memory;      /* bytes; 0: no limit */
	uint32_t pids;        /* 0: no limit */
};

/* ERR_WALL when one of the controllers is not there. */
int cgroups_find(struct cgroups *ret, struct err *e) must_check;
/* The same from the text of /proc/self/mountinfo; `has` tells whether the v2 mount has a
 * controller. */
int cgroups_parse(struct cgroups *ret, const char *mountinfo,
    bool (*has)(const char *mount, const char *controller), struct err *e) must_check;

/* name is "instance/machine": relative, of [a-z0-9-/]. make: fine when it is there; its limits are
 * set anew. */
int cgroup_make(const struct cgroups *c, const char *name, const struct cgroup_limits *l,
    struct err *e) must_check;
int cgroup_enter(
    const struct cgroups *c, const char *name, struct err *e) must_check; /* the caller itself */

/* Kills every process in it, again and again until none is left or the time is up. -EBUSY: some are
 * left. */
int cgroup_kill(
    const struct cgroups *c, const char *name, int timeout_ms, struct err *e) must_check;
/* It, and empty ones below it; absent is fine; -EBUSY while it has processes. */
int cgroup_remove(const struct cgroups *c, const char *name, struct err *e) must_check;

bool cgroup_exists(const struct cgroups *c, const char *name);
uint64_t cgroup_oom_kills(
    const struct cgroups *c, const char *name); /* since it was made; 0 when not known */
/* Up to room process ids; returns how many there are in all (may be more than room), -errno. */
int cgroup_pids(
    const struct cgroups *c, const char *name, pid_t *ret, size_t room, struct err *e) must_check;
