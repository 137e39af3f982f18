#include "image/blobs.h"
#include "base/file.h"
#include "base/id.h"
#include "base/str.h"
#include "image/sha256.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static const char temporary[] = ".coming.";

int blob_has(int blobs, const char digest[65])
{
	struct stat st;
	return fstatat(blobs, digest, &st, AT_SYMLINK_NOFOLLOW) ? -errno
	       : S_ISREG(st.st_mode)                            ? 0
								: -EINVAL;
}

/* Hash and bytes in one go: the source may be changed by whoever holds it, the copy may not. */
static int copy(int from, int to, char hex[65], struct err *e)
{
	static char chunk[256 * 1024];
	struct sha256 *h = NULL;
	uint64_t at = 0;
	int r = sha256_new(&h, e);
	while (r == 0) {
		ssize_t n = pread(from, chunk, sizeof(chunk), (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = err_sys(e, errno, "cannot read the uploaded blob");
		if (n <= 0)
			break;
		at += (uint64_t)n;
		if (at > BLOB_SIZE_MAX)
			r = err_set(
			    e, ERR_TOO_LARGE, "a blob of more than %llu bytes", BLOB_SIZE_MAX);
		if (r == 0)
			r = sha256_add(h, chunk, (size_t)n, e);
		int w = r == 0 ? io_write_all(to, chunk, (size_t)n) : 0;
		if (w < 0)
			r = err_sys(e, -w, "cannot write a blob");
	}
	if (r == 0)
		r = sha256_hex(h, hex, e);
	sha256_free(h);
	return r;
}

static int keep(
    int blobs, int fd, int dirfd, const char *name, const char digest[65], struct err *e)
{
	if (fchmod(fd, 0444) || fsync(fd) || renameat(dirfd, name, blobs, digest) || fsync(blobs))
		return err_sys(e, errno, "cannot keep the blob sha256:%s", digest);
	return 0;
}

static int wrong(const char *digest, const char *hex, struct err *e)
{
	return err_set(e, ERR_IMAGE,
	    "the blob sha256:%.12s... came with other content (sha256:%.12s...)", digest, hex);
}

int blob_put(int blobs, const char digest[65], int fd, struct err *e)
{
	char tmp[32], tag[9], hex[65];
	struct stat st;
	if (blob_has(blobs, digest) == 0)
		return 0;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "a blob is passed as a regular file");
	id_hex(tag, 8);
	snprintf(tmp, sizeof(tmp), "%s%s", temporary, tag);
	cleanup_close int to =
	    openat(blobs, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to < 0)
		return err_sys(e, errno, "cannot create a blob");
	int r = copy(fd, to, hex, e);
	if (r == 0)
		r = streq(hex, digest) ? keep(blobs, to, blobs, tmp, digest, e)
				       : wrong(digest, hex, e);
	if (r < 0)
		unlinkat(blobs, tmp, 0);
	return r;
}

int blob_adopt(int blobs, const char digest[65], int dirfd, const char *name, struct err *e)
{
	char hex[65];
	if (blob_has(blobs, digest) == 0)
		return 0;
	cleanup_close int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	if (fd < 0 || fstat(fd, &st))
		return err_sys(e, errno, "the registry's copy lacks %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_IMAGE, "%s is not a regular file", name);
	int r = sha256_file(fd, BLOB_SIZE_MAX, hex, NULL, e);
	if (r < 0)
		return r;
	return streq(hex, digest) ? keep(blobs, fd, dirfd, name, digest, e) : wrong(digest, hex, e);
}

int blob_read(
    int blobs, const char digest[65], size_t max, char **ret, size_t *ret_len, struct err *e)
{
	char hex[65];
	struct sha256 *h = NULL;
	cleanup_free char *text = NULL;
	int r = file_read(blobs, digest, max, &text, ret_len, e);
	if (r == -ENOENT)
		return err_set(e, ERR_IMAGE_MISSING, "the blob sha256:%s is not here", digest);
	if (r == 0)
		r = sha256_new(&h, e);
	if (r == 0)
		r = sha256_add(h, text, *ret_len, e);
	if (r == 0)
		r = sha256_hex(h, hex, e);
	sha256_free(h);
	if (r == 0 && !streq(hex, digest))
		r = wrong(digest, hex, e);
	if (r == 0)
		*ret = steal_ptr(&text);
	return r;
}

int blob_clean(int blobs, struct err *e)
{
	int fd = openat(blobs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return err_sys(e, errno, "cannot list the blobs");
	for (struct dirent *de; (de = readdir(d));)
		if (str_starts(de->d_name, temporary))
			unlinkat(blobs, de->d_name, 0);
	closedir(d);
	return 0;
}
