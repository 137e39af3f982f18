/* A process's own view of the file system: an empty root that holds only what is put into it. Used
 * by wardd for the daemons and by ward-jail for cages, as root, in a mount namespace of the
 * caller's own. Steps: view_begin, any number of view_*, view_finish. */
#pragma once
#include "base/err.h"
#include "base/util.h"
#include <sys/types.h>

enum view_flag {
	VIEW_WRITABLE = 1 << 0,
	VIEW_EXEC = 1 << 1,     /* programs and libraries; else nothing there can be executed */
	VIEW_DEVICE = 1 << 2,   /* device nodes there work */
	VIEW_OPTIONAL = 1 << 3, /* absent on the host: left out */
};

struct view {
	char at[100]; /* where the new root is, until view_finish */
};

/* Makes all mounts private and a small tmpfs at `at`, an existing folder that nobody but root can
 * change. */
int view_begin(struct view *v, const char *at, struct err *e) must_check;

/* The host's file or folder `path`, at the same place. `path` must lie below folders of root. */
int view_add(const struct view *v, const char *path, unsigned flags, struct err *e) must_check;
/* What fd is open on, at `target`. */
int view_add_fd(
    const struct view *v, int fd, const char *target, unsigned flags, struct err *e) must_check;

int view_dir(const struct view *v, const char *path, mode_t mode, struct err *e) must_check;
int view_file(const struct view *v, const char *path, const char *text, struct err *e) must_check;
int view_tmpfs(
    const struct view *v, const char *path, const char *options, struct err *e) must_check;

/* /proc with only the process's own user's processes; `bare`: without /proc/sys, /proc/meminfo and
 * the like. */
int view_proc(const struct view *v, bool bare, struct err *e) must_check;

/* /usr (read-only), the links that Debian has beside it, and the loader's cache. */
int view_system(const struct view *v, struct err *e) must_check;
/* /dev with null, zero, full, random and urandom. */
int view_devices(const struct view *v, struct err *e) must_check;

/* A device node of this view's own, in a folder of its own, for the group gid alone: the host's
 * node may be root's only. */
int view_node(const struct view *v, const char *folder, const char *name, dev_t dev, gid_t gid,
    struct err *e) must_check;

/* The new root becomes the root, read-only; the old one is gone. The working folder is "/". */
int view_finish(const struct view *v, struct err *e) must_check;
