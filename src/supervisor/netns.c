#include "supervisor/netns.h"
#include "base/file.h"
#include "base/spawn.h"
#include "base/str.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <sys/wait.h>

enum { UPLINK_MS = 20000 };

int netns_path(char *dst, size_t size, const struct settings *s)
{
	int n = snprintf(dst, size, "%s/netns", s->places.run);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static bool pinned(const char *path)
{
	struct statfs st;
	return statfs(path, &st) == 0 && st.f_type == NSFS_MAGIC;
}

/* In a child that was alone in a new namespace: 0, or an errno. */
static int furnish(const char *path)
{
	if (unshare(CLONE_NEWNET))
		return errno;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo))
		return errno;
	/* nobody in there is root, and ward-dns answers on port 53 */
	int low = open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_WRONLY | O_CLOEXEC);
	if (low < 0 || write(low, "0", 1) != 1)
		return errno;
	return mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL) ? errno : 0;
}

static int make(const char *path, struct err *e)
{
	cleanup_close int file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0400);
	if (file < 0)
		return err_sys(e, errno, "cannot make %s", path);
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "cannot fork");
	if (pid == 0)
		_exit(furnish(path));
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "cannot wait for the namespace's maker");
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return err_sys(e, WIFEXITED(status) ? WEXITSTATUS(status) : EIO,
		    "cannot make the machines' network namespace at %s", path);
	return 0;
}

static int uplink(const struct settings *s, const char *what, const char *path, struct err *e)
{
	char program[sizeof(s->libexec) + 16];
	snprintf(program, sizeof(program), "%s/ward-uplink", s->libexec);
	const char *const up[] = { program, "up", "--instance", s->places.instance, "--netns", path,
		NULL };
	const char *const down[] = { program, "down", "--instance", s->places.instance, NULL };
	struct spawn run = { .path = program,
		.argv = streq(what, "up") ? up : down,
		.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1 };
	return spawn_run(&run, UPLINK_MS, 4096, NULL, e);
}

bool netns_exists(const struct settings *s)
{
	char path[96];
	return netns_path(path, sizeof(path), s) == 0 && pinned(path);
}

int netns_up(const struct settings *s, struct err *e)
{
	char path[96];
	int r = netns_path(path, sizeof(path), s);
	if (r < 0)
		return err_sys(e, -r, "the namespace's path");
	if (!pinned(path))
		r = make(path, e);
	if (r == 0 && s->platform.network.uplink && settings_wants(s, "net"))
		r = uplink(s, "up", path, e);
	return r;
}

int netns_down(const struct settings *s, struct err *e)
{
	char path[96];
	int r = netns_path(path, sizeof(path), s);
	if (r < 0)
		return err_sys(e, -r, "the namespace's path");
	if (s->platform.network.uplink && settings_wants(s, "net"))
		r = uplink(s, "down", path, e);
	while (pinned(path))
		if (umount2(path, MNT_DETACH))
			return err_sys(e, errno, "cannot unpin %s", path);
	if (unlink(path) && errno != ENOENT)
		return err_sys(e, errno, "cannot remove %s", path);
	return r;
}
