/* The cage's root: what one machine's link, or monitor, needs to see, and nothing else. */
#include "base/buf.h"
#include "base/daemon.h"
#include "base/str.h"
#include "base/view.h"
#include "jail/jail.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

/* Below a folder of ours, by a path that others wrote parts of: no link is followed, nothing leaves
 * the folder. */
static int open_below(const char *folder, const char *path, int flags, struct err *e)
{
	cleanup_close int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, errno, "cannot open %s", folder);
	struct open_how how = { .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	return fd < 0 ? err_sys(e, errno, "cannot open %s/%s", folder, path) : fd;
}

static int put(const struct view *v, const char *folder, const char *path, const char *target,
    unsigned flags, struct err *e)
{
	cleanup_close int fd = open_below(folder, path, O_PATH, e);
	return fd < 0 ? fd : view_add_fd(v, fd, target, flags, e);
}

/* The user database of a cage: root and Ward's own users, so that a peer's uid has a name. */
static int put_users(const struct view *v, struct err *e)
{
	struct buf text;
	buf_init(&text, 4096);
	int r = buf_add_str(&text, "root:x:0:0::/:/nonexistent\n");
	for (enum daemon d = DAEMON_WARDD + 1; r == 0 && d < DAEMON_MAX; d++) {
		uid_t uid;
		gid_t gid;
		r = daemon_ids(d, &uid, &gid, e);
		if (r < 0)
			goto out;
		r = buf_printf(&text, "%s:x:%u:%u::/:/nonexistent\n", daemon_user(d), uid, gid);
	}
	r = r < 0 ? err_set(e, ERR_NO_MEMORY, "no memory for the users")
		  : view_file(v, "/etc/passwd", text.data, e);
out:
	buf_done(&text);
	return r;
}

static int put_program(const struct view *v, const struct jail_spec *s, struct err *e)
{
	static const char *const links[][2] = { { "usr/lib", "/lib" }, { "usr/lib64", "/lib64" } };
	char path[sizeof(s->libexec) + 16], full[sizeof(v->at) + 8];
	snprintf(path, sizeof(path), "%s/%s", s->libexec, jail_program(s));
	int r = view_add(v, path, VIEW_EXEC, e);
	if (r == 0)
		r = view_add(v, "/usr/lib", VIEW_EXEC, e);
	if (r == 0)
		r = view_add(v, "/usr/lib64", VIEW_EXEC, e);
	if (r == 0)
		r = view_add(v, "/etc/ld.so.cache", VIEW_OPTIONAL, e);
	for (size_t i = 0; r == 0 && i < countof(links); i++) {
		snprintf(full, sizeof(full), "%s%s", v->at, links[i][1]);
		if (symlink(links[i][0], full))
			r = err_sys(e, errno, "cannot make the link %s", links[i][1]);
	}
	return r;
}

static int put_guest(const struct view *v, const struct jail_spec *s, struct err *e)
{
	static const char *const qemu[] = { "/usr/bin/qemu-system-x86_64", "/usr/share/qemu",
		"/usr/share/seabios" };
	char folder[sizeof(s->lib) + 16], path[128];
	int r = 0;
	for (size_t i = 0; r == 0 && s->vmm.engine == WARDD_ENGINE_EMULATED && i < countof(qemu);
	     i++)
		r = view_add(v, qemu[i], VIEW_EXEC, e);
	if (r < 0)
		return r;
	/* the kernel's folder is root's own, and may be a link to the current one */
	snprintf(folder, sizeof(folder), "%s/guest", s->lib);
	char at[sizeof(folder) + sizeof(s->kernel) + 2];
	snprintf(at, sizeof(at), "%s/%s", folder, s->kernel);
	r = put(v, at, "vmlinux", VMM_KERNEL, 0, e);
	if (r == 0)
		r = put(v, at, "initrd", VMM_INITRD, 0, e);
	snprintf(path, sizeof(path), "images/%s.squashfs", s->root);
	if (r == 0)
		r = put(v, s->lib, path, VMM_ROOT_DISK, 0, e);
	snprintf(path, sizeof(path), "machines/%s/scratch.img", s->vmm.machine);
	if (r == 0)
		r = put(v, s->lib, path, VMM_SCRATCH_DISK, VIEW_WRITABLE, e);
	/* the guest's console ends in a place that is full after 64 KiB */
	char options[96];
	snprintf(options, sizeof(options), "mode=0700,size=%d,nr_inodes=8,uid=%u,gid=%u",
	    VMM_CONSOLE_BYTES, s->uid, s->uid);
	return r < 0 ? r : view_tmpfs(v, VMM_CONSOLE_DIR, options, e);
}

int jail_new_root(const struct jail_spec *s, struct err *e)
{
	struct view v;
	char at[sizeof(s->run) + 16], path[64];
	snprintf(at, sizeof(at), "%s/wardd/view", s->run);
	int r = view_begin(&v, at, e);
	if (r == 0)
		r = view_devices(&v, e);
	if (r == 0)
		r = put_users(&v, e);
	if (r == 0)
		r = put_program(&v, s, e);
	snprintf(path, sizeof(path), "machines/%s", s->vmm.machine);
	if (r == 0)
		r = put(&v, s->run, path, VMM_RUN, VIEW_WRITABLE, e);
	if (r == 0 && s->vmm.role == WARDD_ROLE_MONITOR)
		r = put_guest(&v, s, e);
	snprintf(path, sizeof(path), "machines/%s/link", s->vmm.machine);
	if (r == 0 && s->vmm.role == WARDD_ROLE_LINK)
		r = put(&v, s->lib, path, VMM_STATE, VIEW_WRITABLE, e);
	return r < 0 ? r : view_finish(&v, e);
}
