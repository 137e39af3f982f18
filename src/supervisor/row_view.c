#include "supervisor/row_view.h"
#include "base/view.h"
#include <sched.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static int add_below(
    const struct view *v, const char *base, const char *name, unsigned flags, struct err *e)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", base, name);
	return view_add(v, path, flags, e);
}

static int add_folders(
    const struct view *v, const struct settings *s, const struct row_def *row, struct err *e)
{
	const char *lib = s->places.lib;
	int r = row->oneshot ? 0 : add_below(v, lib, row->name, VIEW_WRITABLE, e);
	for (size_t i = 0; r == 0 && i < ROW_FOLDERS && row->folders[i]; i++)
		r = add_below(v, lib, row->folders[i], VIEW_WRITABLE, e);
	for (size_t i = 0; r == 0 && i < ROW_FOLDERS && row->reads[i]; i++)
		r = add_below(v, lib, row->reads[i], 0, e);
	/* sockets can be connected to on a read-only mount; the files' own groups decide */
	if (r == 0 && !(row->sees & SEES_NO_SOCKETS))
		r = view_add(v, s->places.run, 0, e);
	if (r == 0 && row->run_folder)
		r = add_below(v, s->places.run, row->run_folder, VIEW_WRITABLE, e);
	if (r == 0 && row->user == DAEMON_AGENT)
		r = add_below(v, s->places.run, "names", VIEW_WRITABLE, e);
	return r;
}

static int add_etc(const struct view *v, const struct row_def *row, struct err *e)
{
	static const char *const always[] = { "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
		"/etc/localtime", "/etc/ssl/openssl.cnf" };
	static const char *const resolver[] = { "/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs",
		"/etc/ca-certificates", "/etc/containers", "/etc/services", "/etc/gai.conf" };
	int r = 0;
	for (size_t i = 0; r == 0 && i < countof(always); i++)
		r = view_add(v, always[i], VIEW_OPTIONAL, e);
	for (size_t i = 0; r == 0 && (row->sees & SEES_RESOLVER) && i < countof(resolver); i++)
		r = view_add(v, resolver[i], VIEW_OPTIONAL, e);
	return r;
}

static int add_tun(const struct view *v, const struct row_def *row, struct err *e)
{
	enum { MISC = 10, TUN = 200 }; /* Documentation/admin-guide/devices.txt */
	uid_t uid;
	gid_t gid;
	int r = daemon_ids(row->user, &uid, &gid, e);
	return r < 0 ? r : view_node(v, "/dev/net", "tun", makedev(MISC, TUN), gid, e);
}

int row_view(const struct settings *s, enum row id, struct err *e)
{
	const struct row_def *row = &rows[id];
	struct view v;
	char at[96];
	snprintf(at, sizeof(at), "%s/wardd/view", s->places.run);
	if (unshare(CLONE_NEWNS | CLONE_NEWIPC))
		return err_sys(e, errno, "cannot make namespaces of its own");
	int r = view_begin(&v, at, e);
	if (r == 0)
		r = view_system(&v, e);
	if (r == 0)
		r = view_devices(&v, e);
	if (r == 0)
		r = add_etc(&v, row, e);
	if (r == 0)
		r = view_proc(&v, !(row->sees & SEES_PROC), e);
	if (r == 0 && (row->sees & SEES_TUN))
		r = add_tun(&v, row, e);
	if (r == 0 && (row->sees & SEES_TMP))
		r = view_tmpfs(&v, "/tmp", "mode=1777,size=64m", e);
	if (r == 0 && !row->program)
		r = view_add(&v, s->libexec, VIEW_EXEC, e);
	if (r == 0)
		r = add_folders(&v, s, row, e);
	if (r == 0)
		r = view_finish(&v, e);
	if (r < 0)
		return r;
	char home[96] = "/";
	if (row->user == DAEMON_ETCD && !row->oneshot)
		snprintf(home, sizeof(home), "%s/etcd",
		    s->places.run); /* its sockets' paths are relative */
	return chdir(home) ? err_sys(e, errno, "cannot enter %s", home) : 0;
}
