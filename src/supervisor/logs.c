#include "supervisor/logs.h"
#include "base/str.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

int logs_open(const char *dir, const char *name, struct err *e)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s.log", dir, name);
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	return fd < 0 ? err_sys(e, errno, "cannot open %s", path) : fd;
}

/* The writer keeps its fd, so the content moves and the file stays. Lines written between the last
 * copy and the cut are lost; that is a moment every 8 MiB. */
static void rotate(int dir, const char *name, off_t size)
{
	char old[280], tmp[288];
	snprintf(old, sizeof(old), "%s.1", name);
	snprintf(tmp, sizeof(tmp), "%s.1.tmp", name);
	cleanup_close int in = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	cleanup_close int out =
	    openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (in < 0 || out < 0)
		return;
	off_t from = size > LOG_MAX_BYTES ? size - LOG_MAX_BYTES : 0; /* a flood keeps its end */
	for (ssize_t n = 1; n > 0 && from < size;)
		n = sendfile(out, in, &from, (size_t)(size - from));
	if (ftruncate(in, 0) == 0)
		(void)!renameat(dir, tmp, dir, old);
}

void logs_rotate(const char *path)
{
	DIR *d = opendir(path);
	for (struct dirent *de; d && (de = readdir(d));) {
		struct stat st;
		if (str_ends(de->d_name, ".log") &&
		    fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_size > LOG_MAX_BYTES)
			rotate(dirfd(d), de->d_name, st.st_size);
	}
	if (d)
		closedir(d);
}
