/* The app's root: the image (squashfs, read-only) under a writable overlay, in a mount namespace of
 * its own. pid 1 stays in the initramfs. */
#pragma once
#include "base/err.h"
#include "base/util.h"

/* /proc, /sys, /dev and the like of pid 1 itself. */
void root_mount_early(void);

/* Puts the root together from /dev/vda and the scratch device (NULL: the writable half lives in
 * memory) and enters it into a mount namespace that root_enter joins. */
int root_make(const char *scratch, struct err *e) must_check;

/* Opens a path of the app's root as the app sees it: links, absolute ones too, stay inside. -1 and
 * errno. */
int root_open(const char *path, int flags, unsigned mode);

/* A file of the root, whole; NULL when there is none or it is larger than max. The caller frees. */
char *root_read(const char *path, size_t max);

/* Writes a file, making the folders above it (0755); what was there, a link too, is replaced. */
int root_write(
    const char *path, const void *data, size_t len, unsigned mode, struct err *e) must_check;

/* mkdir -p in the root. */
int root_mkdir(const char *path, unsigned mode, struct err *e) must_check;

int root_enter(void);  /* in a child: joins the root's mount namespace; 0 or -errno */
void root_leave(void); /* at the end: unmounts all of it */
