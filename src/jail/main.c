/* ward-jail: builds one cage around itself, then becomes ward-link or ward-vmm in it. Started by
 * wardd as root and as pid 1 of a new pid namespace; reads one struct, nothing else. A step that
 * fails ends it: nothing goes on half-caged. */
#include "base/file.h"
#include "base/rights.h"
#include "jail/jail.h"
#include <fcntl.h>

static int build(struct jail_spec *s, int *report, struct err *e)
{
	int r = io_read_all(JAIL_SPEC_FD, s, sizeof(*s));
	if (r < 0)
		return err_sys(e, -r, "cannot read the cage's description");
	if ((r = jail_check(s, e)) < 0)
		return err_prefix(e, r, "description");
	if ((r = jail_enter_cgroup(s, e)) < 0)
		return err_prefix(e, r, "cgroup");
	if ((r = rights_oom_reset(e)) < 0)
		return err_prefix(e, r, "out-of-memory score");
	if ((r = jail_new_namespaces(s, e)) < 0)
		return err_prefix(e, r, "namespaces");
	if ((r = jail_new_root(s, e)) < 0)
		return err_prefix(e, r, "root");
	if ((r = jail_place_fds(s, report, e)) < 0)
		return err_prefix(e, r, "file descriptors");
	if ((r = jail_drop_rights(s, e)) < 0)
		return err_prefix(e, r, "rights");
	if ((r = jail_set_filter(e)) < 0)
		return err_prefix(e, r, "system calls");
	return 0;
}

/* The cage stands. wardd keeps the console's fd: it outlives the mounts. */
static int say_ready(const struct jail_spec *s, int report, struct err *e)
{
	static const struct err none;
	cleanup_close int console = -1;
	if (s->vmm.role == WARDD_ROLE_MONITOR) {
		console = open(VMM_CONSOLE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (console < 0)
			return err_sys(e, errno, "cannot make the console");
	}
	return ipc_send(
	    report, &none, sizeof(none), (struct bytes){ 0 }, &console, console >= 0, e);
}

int main(void)
{
	static struct jail_spec s;
	struct err e = { 0 }, failed;
	int report = JAIL_REPORT_FD;
	if (build(&s, &report, &e) == 0 && say_ready(&s, report, &e) == 0) {
		char path[sizeof(s.libexec) + 16];
		snprintf(path, sizeof(path), "%s/%s", s.libexec, jail_program(&s));
		char name[16];
		snprintf(name, sizeof(name), "%s", jail_program(&s));
		char *argv[] = { name, NULL }, *env[] = { NULL };
		execve(path, argv, env);
		err_sys(&e, errno, "cannot become %s", path);
	}
	return ipc_send(report, &e, sizeof(e), (struct bytes){ 0 }, NULL, 0, &failed) < 0 ? 126
											  : 125;
}
