/* SHA-256 by OpenSSL, which uses the processor's own instructions: an image's bytes are hashed more
 * than once. */
#pragma once
#include "base/err.h"
#include "base/util.h"

struct sha256;

int sha256_new(struct sha256 **ret, struct err *e) must_check;
void sha256_free(struct sha256 *h); /* NULL is fine */
int sha256_add(struct sha256 *h, const void *p, size_t n, struct err *e) must_check;
int sha256_hex(struct sha256 *h, char dst[65], struct err *e) must_check; /* ends it */

/* Of the rest of an open file, from its beginning; at most max bytes. *ret_size may be NULL. */
int sha256_file(int fd, uint64_t max, char dst[65], uint64_t *ret_size, struct err *e) must_check;
