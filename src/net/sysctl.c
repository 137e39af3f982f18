#include "net/sysctl.h"
#include "base/file.h"
#include "base/str.h"
#include <fcntl.h>

static int path_of(char *dst, size_t size, const char *name, struct err *e)
{
	int n = snprintf(dst, size, "/proc/sys/net/%s", name);
	return n < 0 || (size_t)n >= size ? err_set(e, ERR_INVALID, "no such setting: %s", name)
					  : 0;
}

int sysctl_get(const char *name, char *dst, size_t size, struct err *e)
{
	char path[128];
	cleanup_free char *text = NULL;
	int r = path_of(path, sizeof(path), name, e);
	if (r == 0)
		r = file_read(AT_FDCWD, path, 256, &text, NULL, e);
	if (r < 0 || !text)
		return r;
	text[strcspn(text, "\n")] = 0;
	return str_copy(dst, size, text) ? 0 : err_set(e, ERR_TOO_LARGE, "%s is too long", path);
}

int sysctl_set(const char *name, const char *value, struct err *e)
{
	char path[128], now[64];
	int r = path_of(path, sizeof(path), name, e);
	if (r < 0)
		return r;
	if (sysctl_get(name, now, sizeof(now), NULL) == 0 && streq(now, value))
		return 0;
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : io_write_all(fd, value, strlen(value));
	if (r < 0) {
		err_sys(e, -r, "%s must be %s and cannot be set", path, value);
		if (e)
			e->code = ERR_WALL;
		err_next(e,
		    "let wardd give ward-net a writable /proc/sys/net, or set it in the namespace");
	}
	return r;
}

int sysctl_machines(struct err *e)
{
	static const struct {
		const char *name, *value;
	} table[] = {
		{ "ipv4/ip_forward", "1" },
		{ "ipv4/conf/all/rp_filter", "1" }, /* strict; the highest of all and the link's */
		{ "ipv4/conf/default/rp_filter", "1" },
		{ "ipv4/conf/all/accept_redirects", "0" },
		{ "ipv4/conf/default/accept_redirects", "0" },
		{ "ipv4/conf/all/send_redirects", "0" },
		{ "ipv4/conf/default/send_redirects", "0" },
		{ "ipv4/conf/all/accept_source_route", "0" },
		{ "ipv4/conf/all/arp_ignore",
		    "1" }, /* answers only for the tap's own gateway address */
		{ "ipv6/conf/all/forwarding", "1" },
		{ "ipv6/conf/default/forwarding", "1" },
		{ "ipv6/conf/all/accept_ra", "0" },
		{ "ipv6/conf/default/accept_ra", "0" },
		{ "ipv6/conf/all/accept_redirects", "0" },
		{ "ipv6/conf/default/accept_redirects", "0" },
		{ "ipv6/conf/all/accept_source_route", "0" },
	};
	for (size_t i = 0; i < countof(table); i++) {
		int r = sysctl_set(table[i].name, table[i].value, e);
		if (r < 0)
			return r;
	}
	return 0;
}
