/* Whole files, read with a bound and written so that a reader, or a power cut, never sees half of
 * one. */
#pragma once
#include "base/buf.h"
#include <sys/types.h>

/* Reads all of `name` below dirfd (AT_FDCWD allowed). Refuses symbolic links in the last component,
 * anything but a regular file, and more than max bytes. *ret is NUL-terminated; the caller frees.
 * ret_len may be NULL. */
int file_read(
    int dirfd, const char *name, size_t max, char **ret, size_t *ret_len, struct err *e) must_check;

/* Writes a temporary file beside it, fsyncs, renames over, fsyncs the folder. */
int file_write(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
    struct err *e) must_check;

/* Opens a folder O_PATH-free (readable), without following a last symbolic link. */
int dir_open(int dirfd, const char *name, struct err *e) must_check;

/* mkdir, and it is fine when a folder (not a link) is there already. */
int dir_make(int dirfd, const char *name, mode_t mode, struct err *e) must_check;

/* Removes `name` and all below it, never following a link and never crossing into another file
 * system. No error if absent. */
int dir_remove(int dirfd, const char *name, struct err *e) must_check;

/* All of n bytes, past EINTR and short counts. 0 or -errno; read: -ENODATA at an early end. */
int io_write_all(int fd, const void *p, size_t n) must_check;
int io_read_all(int fd, void *p, size_t n) must_check;
