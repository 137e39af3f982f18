#include "base/rights.h"
#include "jail/jail.h"
#include <sys/resource.h>

int jail_drop_rights(const struct jail_spec *s, struct err *e)
{
	bool monitor = s->vmm.role == WARDD_ROLE_MONITOR;
	const struct {
		int which;
		rlim_t most;
	} limits[] = {
		{ RLIMIT_CORE, 0 }, /* guest memory is never dumped */
		{ RLIMIT_NOFILE, 1024 },
		/* the scratch disk is the largest thing a monitor writes; the link's ring and
		   record are small */
		{ RLIMIT_FSIZE, monitor ? (rlim_t)2 << 40 : (rlim_t)256 << 20 },
		{ RLIMIT_MEMLOCK, 64 << 10 },
		{ RLIMIT_MSGQUEUE, 0 },
		{ RLIMIT_NICE, 0 },
		{ RLIMIT_RTPRIO, 0 },
		{ RLIMIT_SIGPENDING, 1024 },
	};
	for (size_t i = 0; i < countof(limits); i++) {
		struct rlimit now;
		if (getrlimit(limits[i].which, &now))
			return err_sys(e, errno, "cannot read resource limit %d", limits[i].which);
		now.rlim_cur = now.rlim_max = MIN(limits[i].most, now.rlim_max);
		if (setrlimit(limits[i].which, &now))
			return err_sys(e, errno, "cannot set resource limit %d", limits[i].which);
	}
	return rights_drop(s->uid, s->uid, NULL, 0, 0, e);
}
