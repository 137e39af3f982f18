/* ward-jail: builds one cage around itself, then becomes ward-link or ward-vmm in it. Started by
 * wardd as root and as pid 1 of a new pid namespace; reads one struct, nothing else. A step that
 * fails ends it: nothing goes on half-caged. */
#include "base/file.h"
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

int main(void)
{
	static struct jail_spec s;
	struct err e = { 0 };
	int report = JAIL_REPORT_FD;
	if (build(&s, &report, &e) == 0) {
		char path[sizeof(s.libexec) + 16];
		snprintf(path, sizeof(path), "%s/%s", s.libexec, jail_program(&s));
		char name[16];
		snprintf(name, sizeof(name), "%s", jail_program(&s));
		char *argv[] = { name, NULL }, *env[] = { NULL };
		execve(path, argv, env);
		err_sys(&e, errno, "cannot become %s", path);
	}
	return io_write_all(report, &e, sizeof(e)) < 0 ? 126 : 125;
}
