#include "base/file.h"
#include "base/id.h"
#include "base/str.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

int io_write_all(int fd, const void *p, size_t n)
{
	const char *c = p;
	while (n) {
		ssize_t k = write(fd, c, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		c += k;
		n -= (size_t)k;
	}
	return 0;
}

int io_read_all(int fd, void *p, size_t n)
{
	char *c = p;
	while (n) {
		ssize_t k = read(fd, c, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (!k)
			return -ENODATA;
		c += k;
		n -= (size_t)k;
	}
	return 0;
}

int file_read(int dirfd, const char *name, size_t max, char **ret, size_t *ret_len, struct err *e)
{
	cleanup_close int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_sys(e, errno, "cannot open %s", name);
	struct stat st;
	if (fstat(fd, &st))
		return err_sys(e, errno, "cannot look at %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is not a regular file", name);
	struct buf b;
	buf_init(&b, max);
	for (;;) {
		char chunk[16384];
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			buf_done(&b);
			return err_sys(e, errno, "cannot read %s", name);
		}
		if (!n)
			break;
		int r = buf_add(&b, chunk, (size_t)n);
		if (r < 0) {
			buf_done(&b);
			return r == -ENOMEM
				   ? err_set(e, ERR_NO_MEMORY, "no memory to read %s", name)
				   : err_set(e, ERR_TOO_LARGE, "%s is larger than %zu bytes", name,
					 max);
		}
	}
	size_t len = b.len;
	char *text = buf_steal(&b);
	if (!text)
		return err_set(e, ERR_NO_MEMORY, "no memory to read %s", name);
	*ret = text;
	if (ret_len)
		*ret_len = len;
	return 0;
}

/* The folder part of `name`, opened, so that the rename inside it can be made durable. */
static int open_parent(int dirfd, const char *name)
{
	const char *slash = strrchr(name, '/');
	if (!slash)
		return dirfd == AT_FDCWD ? open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
					 : openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *dir = strndup(name, slash == name ? 1 : (size_t)(slash - name));
	if (!dir) {
		errno = ENOMEM;
		return -1;
	}
	return openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int file_write(
    int dirfd, const char *name, const void *data, size_t len, mode_t mode, struct err *e)
{
	char tmp[512], tag[9];
	id_hex(tag, 8);
	int n = snprintf(tmp, sizeof(tmp), "%s.%s.tmp", name, tag);
	if (n < 0 || (size_t)n >= sizeof(tmp))
		return err_set(e, ERR_INVALID, "the path %s is too long", name);
	cleanup_close int dir = open_parent(dirfd, name);
	if (dir < 0)
		return err_sys(e, errno, "cannot open the folder of %s", name);
	cleanup_close int fd =
	    openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return err_sys(e, errno, "cannot create %s", tmp);
	int r = io_write_all(fd, data, len);
	if (r == 0 && (fchmod(fd, mode) || fsync(fd)))
		r = -errno;
	if (r == 0 && close(steal_fd(&fd)))
		r = -errno;
	if (r == 0 && renameat(dirfd, tmp, dirfd, name))
		r = -errno;
	if (r < 0) {
		unlinkat(dirfd, tmp, 0);
		return err_sys(e, -r, "cannot write %s", name);
	}
	if (fsync(dir))
		return err_sys(e, errno, "cannot make %s durable", name);
	return 0;
}

int dir_open(int dirfd, const char *name, struct err *e)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? err_sys(e, errno, "cannot open the folder %s", name) : fd;
}

int dir_make(int dirfd, const char *name, mode_t mode, struct err *e)
{
	if (mkdirat(dirfd, name, mode) == 0 || errno == EEXIST) {
		struct stat st;
		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
			return err_sys(e, errno, "cannot look at %s", name);
		return S_ISDIR(st.st_mode) ? 0
					   : err_set(e, ERR_INVALID, "%s is not a folder", name);
	}
	return err_sys(e, errno, "cannot make the folder %s", name);
}

static int remove_below(int parent, const char *name, dev_t dev, unsigned depth)
{
	enum { DEPTH_MAX = 256 };
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (depth >= DEPTH_MAX)
		return -ELOOP;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	struct stat st;
	if (fstat(fd, &st) || (depth && st.st_dev != dev)) {
		close(fd);
		return -EXDEV;
	}
	DIR *d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	int r = 0;
	for (struct dirent *de; r == 0 && (de = readdir(d));)
		if (!streq(de->d_name, ".") && !streq(de->d_name, ".."))
			r = remove_below(dirfd(d), de->d_name, st.st_dev, depth + 1);
	closedir(d);
	if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) && errno != ENOENT)
		r = -errno;
	return r;
}

int dir_remove(int dirfd, const char *name, struct err *e)
{
	int r = remove_below(dirfd, name, 0, 0);
	return r < 0 ? err_sys(e, -r, "cannot remove %s", name) : 0;
}
