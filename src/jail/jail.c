#include "jail/jail.h"
#include "base/cgroup.h"
#include "base/str.h"
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

const char *jail_program(const struct jail_spec *s)
{
	return s->vmm.role == WARDD_ROLE_MONITOR ? "ward-vmm" : "ward-link";
}

static bool ends(const char *s, size_t size)
{
	return memchr(s, 0, size) != NULL;
}

int jail_check(const struct jail_spec *s, struct err *e)
{
	if (s->version != JAIL_SPEC_VERSION)
		return err_set(
		    e, ERR_PROTOCOL, "version %u is not %d", s->version, JAIL_SPEC_VERSION);
	if (!ends(s->instance, sizeof(s->instance)) || !ends(s->lib, sizeof(s->lib)) ||
	    !ends(s->run, sizeof(s->run)) || !ends(s->libexec, sizeof(s->libexec)) ||
	    !ends(s->kernel, sizeof(s->kernel)) || !ends(s->root, sizeof(s->root)))
		return err_set(e, ERR_PROTOCOL, "a string does not end");
	if (s->uid < WARDD_UID_BASE || s->uid > WARDD_UID_BASE + WARDD_SLOT_MAX)
		return err_set(e, ERR_PROTOCOL, "uid %u is no machine's", s->uid);
	if (!str_is_name(s->instance, 12) || s->lib[0] != '/' || s->run[0] != '/' ||
	    s->libexec[0] != '/')
		return err_set(e, ERR_PROTOCOL, "a name or path is not one");
	if (s->vmm.role == WARDD_ROLE_MONITOR && !str_is_hex(s->root, 64))
		return err_set(e, ERR_PROTOCOL, "the root disk's name is not 64 hex digits");
	return vmm_spec_check(&s->vmm, e);
}

int jail_enter_cgroup(const struct jail_spec *s, struct err *e)
{
	struct cgroups c;
	char name[sizeof(s->instance) + sizeof(s->vmm.machine) + 2];
	snprintf(name, sizeof(name), "%s/%s", s->instance, s->vmm.machine);
	int r = cgroups_find(&c, e);
	return r < 0 ? r : cgroup_enter(&c, name, e);
}

int jail_new_namespaces(const struct jail_spec *s, struct err *e)
{
	if (getpid() != 1)
		return err_set(
		    e, ERR_WALL, "ward-jail was not started in a pid namespace of its own");
	if (setsid() < 0)
		return err_sys(e, errno, "cannot begin a session");
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP))
		return err_sys(e, errno, "cannot make new ones");
	if (sethostname(s->vmm.machine, strlen(s->vmm.machine)))
		return err_sys(e, errno, "cannot set the host name");
	return 0;
}

int jail_place_fds(const struct jail_spec *s, int *report, struct err *e)
{
	enum { ABOVE = 8 };
	bool monitor = s->vmm.role == WARDD_ROLE_MONITOR;
	int r = fcntl(*report, F_DUPFD_CLOEXEC, ABOVE);
	if (r < 0)
		return err_sys(e, errno, "cannot keep the report's");
	close(*report);
	*report = r;
	int spec = memfd_create("spec", MFD_CLOEXEC);
	if (spec < 0 || write(spec, &s->vmm, sizeof(s->vmm)) != sizeof(s->vmm) ||
	    lseek(spec, 0, SEEK_SET))
		return err_sys(e, errno, "cannot hand on the machine's description");
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(spec, VMM_SPEC_FD) < 0)
		return err_sys(e, errno, "cannot place them");
	if (monitor && fcntl(JAIL_TAP_FD, F_SETFD, 0))
		return err_sys(e, errno, "the tap was not passed");

	/* this also closes what was opened here */
	if (syscall(SYS_close_range, monitor ? VMM_TAP_FD + 1 : VMM_SPEC_FD + 1, *report - 1, 0) ||
	    syscall(SYS_close_range, *report + 1, ~0U, 0))
		return err_sys(e, errno, "cannot close the rest");

	return 0;
}
