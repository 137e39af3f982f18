#include "guest/swap.h"
#include "base/util.h"
#include <fcntl.h>
#include <string.h>
#include <sys/swap.h>

/* Beside the overlay's upper folder, where the app cannot see it. */
#define FILE_PATH "/upper/swap"

enum { PAGE = 4096 };

/* The first page of a swap area (linux/swap.h, union swap_header). */
struct header {
	char boot[1024];
	uint32_t version, last_page, bad_pages;
	char rest[PAGE - 1024 - 12 - 10];
	char magic[10];
};
_Static_assert(sizeof(struct header) == PAGE, "one page");

int swap_start(uint64_t mib, struct err *e)
{
	struct header h = { .version = 1, .last_page = (uint32_t)(mib * 256 - 1) };
	memcpy(h.magic, "SWAPSPACE2", sizeof h.magic);
	cleanup_close int fd = open(FILE_PATH, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, errno, "cannot make the swap file");
	int num = posix_fallocate(fd, 0, (off_t)mib << 20);
	if (num)
		return err_sys(e, num, "no room for %llu MiB of swap on the scratch disk",
		    (unsigned long long)mib);
	if (pwrite(fd, &h, sizeof h, 0) != sizeof h || fsync(fd) < 0 || swapon(FILE_PATH, 0) < 0)
		return err_sys(e, errno, "cannot use the swap file");
	return 0;
}
