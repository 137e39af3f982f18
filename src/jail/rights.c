#include "base/rights.h"
#include "jail/jail.h"
#include <sys/resource.h>
#include <sys/stat.h>

/* The largest file: of a monitor the scratch disk at its present size, or the guest's memory (a
 * memfd), so that one that was taken over does not fill the host's disk. */
static int largest_file(const struct jail_spec *s, rlim_t *ret, struct err *e)
{
	struct stat st;
	*ret = (rlim_t)256 << 20; /* the link's ring and record are small */
	if (s->vmm.role != WARDD_ROLE_MONITOR)
		return 0;
	if (stat(VMM_SCRATCH_DISK, &st))
		return err_sys(e, errno, "cannot look at the scratch disk");
	*ret = MAX((rlim_t)st.st_size, (rlim_t)s->vmm.memory_mib << 20);
	return 0;
}

int jail_drop_rights(const struct jail_spec *s, struct err *e)
{
	rlim_t largest = 0;
	int r = largest_file(s, &largest, e);
	if (r < 0)
		return r;
	const struct {
		int which;
		rlim_t most;
	} limits[] = {
		{ RLIMIT_CORE, 0 }, /* guest memory is never dumped */
		{ RLIMIT_NOFILE, 1024 },
		{ RLIMIT_FSIZE, largest },
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
