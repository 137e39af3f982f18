/* <lib>/blobs/sha256/<hex>: content by its digest. A name appears only when all bytes are there and
 * fit. */
#pragma once
#include "base/err.h"
#include "base/util.h"

#define BLOB_SIZE_MAX (16ULL << 30)

/* 0, or -ENOENT. */
int blob_has(int blobs, const char digest[65]);

/* Copies what the fd gives, from its beginning, to a blob; the fd must be a regular file. Present
 * already: 0. */
int blob_put(int blobs, const char digest[65], int fd, struct err *e) must_check;

/* The same for a file of ours in the same file system: hashed where it is, then moved in. */
int blob_adopt(
    int blobs, const char digest[65], int dirfd, const char *name, struct err *e) must_check;

/* All of a small blob, its digest checked. The caller frees. */
int blob_read(int blobs, const char digest[65], size_t max, char **ret, size_t *ret_len,
    struct err *e) must_check;

/* Removes what killed writers left in the blobs' folder. */
int blob_clean(int blobs, struct err *e) must_check;
