#include "image/cage.h"
#include "base/confine.h"
#include "base/str.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { CPU_SECONDS = 1800 };

static int limit(__rlimit_resource_t what, rlim_t max, struct err *e)
{
	const struct rlimit l = { max, max };
	return setrlimit(what, &l) ? err_sys(e, errno, "cannot set a limit") : 0;
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int close_others(const int *keep, size_t n, struct err *e)
{
	enum { MAX_KEPT = 256 };
	int list[MAX_KEPT] = { 0 };
	unsigned from = 3;
	if (n > MAX_KEPT)
		return err_set(e, ERR_INTERNAL, "more than %d fds to keep", MAX_KEPT);
	if (n)
		memcpy(list, keep, n * sizeof(int));
	qsort(list, n, sizeof(int), compare);
	for (size_t i = 0; i < n; i++) {
		unsigned fd = (unsigned)list[i];
		if (fd > from && syscall(SYS_close_range, from, fd - 1, 0))
			return err_sys(e, errno, "cannot close fds");
		from = MAX(from, fd + 1);
	}
	return syscall(SYS_close_range, from, ~0U, 0) ? err_sys(e, errno, "cannot close fds") : 0;
}

int cage_merger(const int *keep, size_t n, struct err *e)
{
	int r = prctl(PR_SET_PDEATHSIG, SIGKILL)
		    ? err_sys(e, errno, "cannot tie the child to its parent")
		    : 0;
	if (r == 0)
		r = close_others(keep, n, e);
	if (r == 0)
		r = limit(RLIMIT_CPU, CPU_SECONDS, e);
	if (r == 0) /* a million names, and the window of a decompressor */
		r = limit(RLIMIT_AS, 2UL << 30, e);
	if (r == 0)
		r = limit(RLIMIT_FSIZE, 0, e); /* it only writes to pipes */
	return r == 0 ? confine(0, e) : r;
}

int cage_writer(uint64_t file_max, struct err *e)
{
	int r = prctl(PR_SET_PDEATHSIG, SIGKILL)
		    ? err_sys(e, errno, "cannot tie the child to its parent")
		    : 0;
	if (r == 0)
		r = close_others(NULL, 0, e);
	if (r == 0)
		r = limit(RLIMIT_CPU, CPU_SECONDS, e);
	if (r == 0)
		r = limit(RLIMIT_AS, 4UL << 30, e);
	if (r == 0)
		r = limit(RLIMIT_FSIZE, file_max, e);
	return r == 0 ? confine(CONFINE_FILES_READ | CONFINE_FILES_WRITE | CONFINE_SPAWN |
				    CONFINE_THREADS,
			    e)
		      : r;
}
