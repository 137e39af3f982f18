#include "guest/root.h"
#include "base/file.h"
#include "guest/say.h"
#include "guest/scratch.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

static int root_fd = -1, ns_fd = -1;

static void mount_at(const char *type, const char *where, unsigned long flags, const char *options)
{
	(void)mkdir(where, 0755);
	if (mount(type, where, type, flags, options) < 0)
		say("mount %s at %s: %s", type, where, strerror(errno));
}

void root_mount_early(void)
{
	mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
	mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
}

/* The system folders of the app. devtmpfs is the kernel's one and only, so the disks and ports are
 * in it, for the app's root alone. */
static void mount_system(void)
{
	mount_at("proc", "/newroot/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("sysfs", "/newroot/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("cgroup2", "/newroot/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("devtmpfs", "/newroot/dev", MS_NOSUID, "mode=0755");
	mount_at("devpts", "/newroot/dev/pts", MS_NOSUID | MS_NOEXEC,
	    "mode=0620,gid=5,ptmxmode=0666,newinstance");
	mount_at("tmpfs", "/newroot/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
	mount_at("mqueue", "/newroot/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	/* A multiplexer of this devpts, in place of the kernel's node, which belongs to pid 1's. */
	(void)unlink("/newroot/dev/ptmx");
	static const char *const links[][2] = { { "pts/ptmx", "/newroot/dev/ptmx" },
		{ "/proc/self/fd", "/newroot/dev/fd" }, { "fd/0", "/newroot/dev/stdin" },
		{ "fd/1", "/newroot/dev/stdout" }, { "fd/2", "/newroot/dev/stderr" } };
	for (size_t i = 0; i < countof(links); i++)
		(void)!symlink(links[i][0], links[i][1]);
}

static bool wait_for(const char *device)
{
	for (int i = 0; i < 300 && access(device, F_OK) < 0; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000000 }, NULL);
	return access(device, F_OK) == 0;
}

static int mount_overlay(const char *scratch, struct err *e)
{
	int r;
	(void)mkdir("/lower", 0755);
	(void)mkdir("/upper", 0700);
	(void)mkdir("/newroot", 0755);
	if (!wait_for("/dev/vda"))
		return err_set(e, ERR_SYSTEM, "the root disk /dev/vda did not appear");
	if (mount("/dev/vda", "/lower", "squashfs", MS_RDONLY | MS_NODEV, NULL) < 0)
		return err_sys(e, errno, "cannot mount the image /dev/vda (squashfs)");
	if (scratch && !wait_for(scratch))
		return err_set(e, ERR_SYSTEM, "the scratch disk %s did not appear", scratch);
	if (scratch && (r = scratch_mount(scratch, "/upper", e)) < 0)
		return r;
	if (!scratch)
		mount_at("tmpfs", "/upper", MS_NODEV, "mode=0700");
	(void)mkdir("/upper/data", 0755);
	(void)mkdir("/upper/work", 0755);
	if (mount("overlay", "/newroot", "overlay", 0,
		"lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work,index=off") < 0)
		return err_sys(e, errno, "cannot mount the overlay");
	return 0;
}

/* The overlay becomes "/" of a second mount namespace, in which the initramfs cannot be seen or
 * reached. */
static int make_namespace(struct err *e)
{
	cleanup_close int mine = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (mine < 0 || unshare(CLONE_NEWNS) < 0)
		return err_sys(e, errno, "cannot make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || chdir("/newroot") < 0 ||
	    mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		return err_sys(e, errno, "cannot enter the app's root");
	ns_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (ns_fd < 0 || setns(mine, CLONE_NEWNS) < 0)
		return err_sys(e, errno, "cannot come back from the app's root");
	return 0;
}

int root_make(const char *scratch, struct err *e)
{
	int r = mount_overlay(scratch, e);
	if (r < 0)
		return r;
	mount_system();
	if ((r = make_namespace(e)) < 0)
		return r;
	root_fd = open("/newroot", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root_fd < 0 ? err_sys(e, errno, "cannot open the app's root") : 0;
}

int root_enter(void)
{
	return setns(ns_fd, CLONE_NEWNS) < 0 ? -errno : 0;
}

int root_open(const char *path, int flags, unsigned mode)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC), .mode = mode, .resolve = RESOLVE_IN_ROOT
	};
	return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof how);
}

char *root_read(const char *path, size_t max)
{
	cleanup_close int fd = root_open(path, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > max)
		return NULL;
	char *text = malloc((size_t)st.st_size + 1);
	if (!text || io_read_all(fd, text, (size_t)st.st_size) < 0) {
		free(text);
		return NULL;
	}
	text[st.st_size] = 0;
	return text;
}

/* The folder that holds path's last part (made when absent), and that part. */
static int open_parent(const char *path, const char **ret_last, struct err *e)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *parent = strndup(path, (size_t)(slash - path));
	if (!parent)
		return err_set(e, ERR_NO_MEMORY, "no memory for a path");
	int r = *parent ? root_mkdir(parent, 0755, e) : 0;
	if (r < 0)
		return r;
	int fd = root_open(*parent ? parent : "/", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_sys(e, errno, "cannot open '%.200s'", parent);
	*ret_last = slash + 1;
	return fd;
}

int root_mkdir(const char *path, unsigned mode, struct err *e)
{
	cleanup_close int have = root_open(path, O_PATH | O_DIRECTORY, 0);
	if (have >= 0)
		return 0;
	const char *last = NULL;
	if (path[0] != '/' || !path[1] ||
	    strlen(path) >= PATH_MAX) /* the bound is the recursion's too */
		return err_set(e, ERR_INVALID, "'%.200s' is not an absolute path", path);
	cleanup_close int dir = open_parent(path, &last, e);
	if (dir < 0)
		return dir;
	if (*last && mkdirat(dir, last, mode) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make folder '%.200s'", path);
	return 0;
}

int root_write(const char *path, const void *data, size_t len, unsigned mode, struct err *e)
{
	const char *last = NULL;
	cleanup_close int dir = open_parent(path, &last, e);
	if (dir < 0)
		return dir;
	(void)unlinkat(dir, last, 0);
	cleanup_close int fd =
	    openat(dir, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : io_write_all(fd, data, len);
	if (r < 0 || fchmod(fd, mode) < 0)
		return err_sys(e, r < 0 ? -r : errno, "cannot write '%.200s'", path);
	return 0;
}

void root_leave(void)
{
	if (root_fd >= 0)
		close(root_fd);
	if (ns_fd >= 0)
		close(ns_fd); /* its last process is gone: the namespace goes with it */
	root_fd = ns_fd = -1;
	(void)umount2("/newroot", MNT_DETACH);
	(void)umount2("/upper", MNT_DETACH);
	(void)umount2("/lower", MNT_DETACH);
}
