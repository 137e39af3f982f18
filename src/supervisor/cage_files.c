#include "supervisor/cage_files.h"
#include "base/file.h"
#include "base/id.h"
#include "base/str.h"
#include "proto/ipc_wardd.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int open_machine(const char *base, const char *machine, struct err *e)
{
	char path[64];
	snprintf(path, sizeof(path), "machines/%s", machine);
	cleanup_close int dir = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	int fd = dir < 0 ? -1 : (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	return fd < 0 ? err_sys(e, errno, "cannot open %s/%s", base, path) : fd;
}

static bool is_machine_uid(uid_t uid)
{
	return uid >= WARDD_UID_BASE && uid <= WARDD_UID_BASE + WARDD_SLOT_MAX;
}

/* Only what belongs to the agent, or to a machine, changes hands, and only if it has no other name
 * somewhere else. */
static int change_owner(
    int dir, const char *name, mode_t type, uid_t to, mode_t mode, struct err *e)
{
	uid_t agent;
	gid_t agent_group;
	struct stat st;
	int r = daemon_ids(DAEMON_AGENT, &agent, &agent_group, e);
	if (r < 0)
		return r;
	cleanup_close int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st))
		return err_sys(e, errno, "cannot open the machine's %s", name);
	if ((st.st_mode & S_IFMT) != type || (type == S_IFREG && st.st_nlink != 1) ||
	    (st.st_uid != agent && !is_machine_uid(st.st_uid) && st.st_uid != 0))
		return err_set(e, ERR_INVALID,
		    "the machine's %s is not what it should be (type, links or owner)", name);
	if (fchown(fd, to, to == agent ? agent_group : to) || fchmod(fd, mode))
		return err_sys(e, errno, "cannot give the machine's %s its owner", name);
	return 0;
}

static int give_run_folder(const struct settings *s, const char *machine, uid_t uid, struct err *e)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/machines/%s", s->places.run, machine);
	int r = dir_make(AT_FDCWD, path, 0711, e);
	if (r < 0)
		return r;
	cleanup_close int fd = dir_open(AT_FDCWD, path, e);
	if (fd < 0)
		return fd;
	return fchown(fd, uid, uid) || fchmod(fd, 0711)
		   ? err_sys(e, errno, "cannot give %s its owner", path)
		   : 0;
}

int cage_files_give(
    const struct settings *s, const char *machine, uint32_t role, uid_t uid, struct err *e)
{
	int r = give_run_folder(s, machine, uid, e);
	if (r < 0)
		return r;
	cleanup_close int dir = open_machine(s->places.lib, machine, e);
	if (dir < 0)
		return dir;
	if (role == WARDD_ROLE_MONITOR)
		return change_owner(dir, "scratch.img", S_IFREG, uid, 0600, e);
	r = dir_make(dir, "link", 0755, e);
	return r < 0 ? r : change_owner(dir, "link", S_IFDIR, uid, 0755, e);
}

int cage_files_take_back(const struct settings *s, const char *machine, struct err *e)
{
	uid_t agent;
	gid_t group;
	int r = daemon_ids(DAEMON_AGENT, &agent, &group, e);
	cleanup_close int dir = r < 0 ? -1 : open_machine(s->places.lib, machine, e);
	if (r < 0 || dir < 0)
		return r < 0 ? r : dir == -ENOENT ? 0 : dir;
	if (faccessat(dir, "scratch.img", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = change_owner(dir, "scratch.img", S_IFREG, agent, 0600, e);
	if (r == 0 && faccessat(dir, "link", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = change_owner(dir, "link", S_IFDIR, agent, 0755, e);
	return r;
}

static bool has_folder(const struct settings *s, const char *machine)
{
	char path[128];
	struct stat st;
	snprintf(path, sizeof(path), "%s/machines/%s", s->places.lib, machine);
	return lstat(path, &st) == 0 || errno != ENOENT;
}

/* name without prefix and suffix is a machine that is no more? */
static bool orphan(const struct settings *s, const char *name, const char *prefix,
    bool (*in_use)(void *, const char *), void *arg)
{
	char id[MACHINE_ID_LEN + 1];
	if (!str_starts(name, prefix) || strlen(name + strlen(prefix)) < MACHINE_ID_LEN)
		return false;
	snprintf(id, sizeof(id), "%s", name + strlen(prefix));
	return id_is_machine(id) && !in_use(arg, id) && !has_folder(s, id);
}

static void tidy_folder(const struct settings *s, const char *path, const char *prefix,
    bool (*in_use)(void *, const char *), void *arg)
{
	DIR *d = opendir(path);
	struct err e;
	for (struct dirent *de; d && (de = readdir(d));)
		if (orphan(s, de->d_name, prefix, in_use, arg))
			(void)!dir_remove(
			    dirfd(d), de->d_name, &e); /* tried again at the next round */
	if (d)
		closedir(d);
}

void cage_files_tidy(
    const struct settings *s, bool (*in_use)(void *arg, const char *machine), void *arg)
{
	char path[96];
	snprintf(path, sizeof(path), "%s/machines", s->places.run);
	tidy_folder(s, path, "", in_use, arg);
	tidy_folder(s, s->log_dir, "machine-", in_use, arg);
}
