#include "supervisor/console.h"
#include "base/file.h"
#include "base/log.h"
#include "proto/vmm_spec.h"
#include "supervisor/logs.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* A guest's bytes: only what a terminal shows as text. Returns how many are left. */
static size_t clean(char *text, size_t n)
{
	size_t to = 0;
	for (size_t i = 0; i < n; i++)
		if (text[i] == '\n' || text[i] == '\t' || (text[i] >= ' ' && text[i] <= '~'))
			text[to++] = text[i];
	return to;
}

int console_of(pid_t pid)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/%d/root", pid);
	cleanup_close int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* the folder is the monitor's own: no link of its making is followed out of its root */
	struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	cleanup_close int fd =
	    root < 0 ? -1 : (int)syscall(SYS_openat2, root, &VMM_CONSOLE[1], &how, sizeof(how));
	struct stat st;
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? steal_fd(&fd) : -1;
}

void console_save(int *fd, const char *dir, const char *machine)
{
	static char text[VMM_CONSOLE_BYTES];
	char name[40];
	struct err e;
	cleanup_close int console = steal_fd(fd);
	ssize_t n = console < 0 ? 0 : pread(console, text, sizeof(text), 0);
	size_t len = n > 0 ? clean(text, (size_t)n) : 0;
	if (!len)
		return;
	snprintf(name, sizeof(name), "machine-%s", machine);
	cleanup_close int log = logs_open(dir, name, &e);
	if (log < 0 || dprintf(log, "---- the guest's console\n") < 0 ||
	    io_write_all(log, text, len) < 0 || write(log, "\n", 1) != 1)
		log_warn("the console of machine %s could not be saved", machine);
}
