#include "supervisor/swap.h"
#include "base/file.h"
#include "base/str.h"
#include <fcntl.h>
#include <limits.h>

/* zram is memory; a dm-crypt device says so in its uuid. A swap file is as safe as its disk, which
 * cannot be told here. */
static bool is_safe(const char *path)
{
	char real[PATH_MAX], uuid_path[PATH_MAX + 32];
	cleanup_free char *uuid = NULL;
	struct err e;
	if (!realpath(path, real))
		return false;
	const char *name = strrchr(real, '/') + 1;
	if (!str_starts(real, "/dev/"))
		return false;
	if (str_starts(name, "zram"))
		return true;
	snprintf(uuid_path, sizeof(uuid_path), "/sys/block/%s/dm/uuid", name);
	return file_read(AT_FDCWD, uuid_path, 512, &uuid, NULL, &e) == 0 &&
	       str_starts(uuid, "CRYPT-");
}

void swap_parse(const char *swaps, bool (*safe)(const char *path), char *dst, size_t size)
{
	const char *line = strchr(swaps, '\n'); /* the first is a heading */
	for (dst[0] = 0; line && line[1] && !dst[0]; line = strchr(line + 1, '\n')) {
		char path[256];
		snprintf(path, sizeof(path), "%.*s",
		    (int)MIN(strcspn(line + 1, " \t\n"), sizeof(path) - 1), line + 1);
		if (path[0] && !safe(path))
			snprintf(dst, size, "%s", path);
	}
}

int swap_find_plain(char *dst, size_t size, struct err *e)
{
	cleanup_free char *text = NULL;
	int r = file_read(AT_FDCWD, "/proc/swaps", 65536, &text, NULL, e);
	if (r < 0)
		return r;
	swap_parse(text, is_safe, dst, size);
	return 0;
}
