#include "base/view.h"
#include "base/file.h"
#include "base/str.h"
#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int place(char dst[PATH_MAX], const struct view *v, const char *path, struct err *e)
{
	int n = snprintf(dst, PATH_MAX, "%s%s", v->at, path);
	return n < 0 || n >= PATH_MAX ? err_set(e, ERR_TOO_LARGE, "the path %s is too long", path)
				      : 0;
}

/* All folders above the last component, inside the new root. */
static int make_parents(char *full, size_t from, struct err *e)
{
	for (char *p = full + from + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		int r = mkdir(full, 0755) && errno != EEXIST ? -errno : 0;
		if (r < 0)
			return err_sys(e, -r, "cannot make %s", full);
		*p = '/';
	}
	return 0;
}

int view_begin(struct view *v, const char *at, struct err *e)
{
	if (!str_copy(v->at, sizeof(v->at), at))
		return err_set(e, ERR_TOO_LARGE, "the path %s is too long", at);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return err_sys(e, errno, "cannot make the mounts private");
	if (mount("ward-view", at, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m,nr_inodes=1k"))
		return err_sys(e, errno, "cannot mount an empty root at %s", at);
	return 0;
}

int view_add_fd(const struct view *v, int fd, const char *target, unsigned flags, struct err *e)
{
	struct stat st;
	char full[PATH_MAX];
	int r = place(full, v, target, e);
	if (r < 0)
		return r;
	if (fstat(fd, &st))
		return err_sys(e, errno, "cannot look at what belongs at %s", target);
	cleanup_close int tree =
	    open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return err_sys(e, errno, "cannot take the mount for %s", target);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID };
	if (!(flags & VIEW_WRITABLE))
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	if (!(flags & VIEW_EXEC))
		attr.attr_set |= MOUNT_ATTR_NOEXEC;
	if (!(flags & VIEW_DEVICE))
		attr.attr_set |= MOUNT_ATTR_NODEV;
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)))
		return err_sys(e, errno, "cannot restrict the mount for %s", target);
	r = make_parents(full, strlen(v->at), e);
	if (r < 0)
		return r;
	if (S_ISDIR(st.st_mode)) {
		if (mkdir(full, 0755) && errno != EEXIST)
			return err_sys(e, errno, "cannot make %s", full);
	} else {
		cleanup_close int made =
		    open(full, O_CREAT | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0444);
		if (made < 0)
			return err_sys(e, errno, "cannot make %s", full);
	}
	if (move_mount(tree, "", AT_FDCWD, full, MOVE_MOUNT_F_EMPTY_PATH))
		return err_sys(e, errno, "cannot mount %s", target);
	return 0;
}

int view_add(const struct view *v, const char *path, unsigned flags, struct err *e)
{
	cleanup_close int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && (flags & VIEW_OPTIONAL))
		return 0;
	if (fd < 0)
		return err_sys(e, errno, "cannot find %s for the view", path);
	return view_add_fd(v, fd, path, flags, e);
}

int view_dir(const struct view *v, const char *path, mode_t mode, struct err *e)
{
	char full[PATH_MAX];
	int r = place(full, v, path, e);
	if (r == 0)
		r = make_parents(full, strlen(v->at), e);
	if (r < 0)
		return r;
	if ((mkdir(full, mode) && errno != EEXIST) || chmod(full, mode))
		return err_sys(e, errno, "cannot make %s", full);
	return 0;
}

int view_file(const struct view *v, const char *path, const char *text, struct err *e)
{
	char full[PATH_MAX];
	int r = place(full, v, path, e);
	if (r == 0)
		r = make_parents(full, strlen(v->at), e);
	if (r < 0)
		return r;
	cleanup_close int fd = open(full, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
	if (fd < 0)
		return err_sys(e, errno, "cannot make %s", full);
	r = io_write_all(fd, text, strlen(text));
	return r < 0 ? err_sys(e, -r, "cannot write %s", full) : 0;
}

int view_tmpfs(const struct view *v, const char *path, const char *options, struct err *e)
{
	char full[PATH_MAX];
	int r = view_dir(v, path, 0755, e);
	if (r == 0)
		r = place(full, v, path, e);
	if (r < 0)
		return r;
	if (mount("ward-tmp", full, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options))
		return err_sys(e, errno, "cannot mount a tmpfs at %s", path);
	return 0;
}

int view_proc(const struct view *v, bool bare, struct err *e)
{
	char full[PATH_MAX];
	int r = view_dir(v, "/proc", 0555, e);
	if (r == 0)
		r = place(full, v, "/proc", e);
	if (r < 0)
		return r;
	const char *options = bare ? "hidepid=invisible,subset=pid" : "hidepid=invisible";
	if (mount("proc", full, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, options))
		return err_sys(e, errno, "cannot mount /proc");
	return 0;
}

int view_system(const struct view *v, struct err *e)
{
	static const char *const links[] = { "/bin", "/sbin", "/lib", "/lib64", "/lib32" };
	int r = view_add(v, "/usr", VIEW_EXEC, e);
	for (size_t i = 0; r == 0 && i < countof(links); i++) {
		char to[PATH_MAX], full[PATH_MAX];
		ssize_t n = readlink(links[i], to, sizeof(to) - 1);
		if (n < 0 && errno == EINVAL) /* a folder of its own, on a system not merged */
			r = view_add(v, links[i], VIEW_EXEC, e);
		if (n <= 0)
			continue;
		to[n] = 0;
		r = place(full, v, links[i], e);
		if (r == 0 && symlink(to, full))
			r = err_sys(e, errno, "cannot make the link %s", full);
	}
	return r < 0 ? r : view_add(v, "/etc/ld.so.cache", VIEW_OPTIONAL, e);
}

int view_devices(const struct view *v, struct err *e)
{
	static const char *const nodes[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
		"/dev/urandom" };
	int r = view_dir(v, "/dev", 0755, e);
	for (size_t i = 0; r == 0 && i < countof(nodes); i++)
		r = view_add(v, nodes[i], VIEW_WRITABLE | VIEW_DEVICE, e);
	return r;
}

int view_node(
    const struct view *v, const char *folder, const char *name, dev_t dev, gid_t gid, struct err *e)
{
	char full[PATH_MAX];
	int r = view_dir(v, folder, 0755, e);
	if (r == 0)
		r = place(full, v, folder, e);
	if (r < 0)
		return r;
	if (mount(
		"ward-node", full, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=4k,nr_inodes=4"))
		return err_sys(e, errno, "cannot mount a folder for %s", name);
	cleanup_close int dir = dir_open(AT_FDCWD, full, e);
	if (dir < 0)
		return dir;
	/* the mode apart: mknod takes wardd's umask away from it */
	if (mknodat(dir, name, S_IFCHR | 0600, dev) ||
	    fchownat(dir, name, 0, gid, AT_SYMLINK_NOFOLLOW) || fchmodat(dir, name, 0660, 0))
		return err_sys(e, errno, "cannot make the device %s/%s", folder, name);
	return 0;
}

int view_finish(const struct view *v, struct err *e)
{
	if (chdir(v->at))
		return err_sys(e, errno, "cannot enter the new root");
	/* Both "." (pivot_root(2)): the old root ends up mounted over the new one, and is detached.
	 */
	if (syscall(SYS_pivot_root, ".", "."))
		return err_sys(e, errno, "cannot change the root");
	if (umount2(".", MNT_DETACH))
		return err_sys(e, errno, "cannot leave the old root");
	struct mount_attr attr = { .attr_set =
				       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };
	if (chdir("/") || mount_setattr(AT_FDCWD, "/", 0, &attr, sizeof(attr)))
		return err_sys(e, errno, "cannot make the new root read-only");
	return 0;
}
