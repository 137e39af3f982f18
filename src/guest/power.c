#include "guest/power.h"
#include "base/file.h"
#include "guest/proc.h"
#include "guest/root.h"
#include <fcntl.h>
#include <string.h>
#include <sys/reboot.h>

_Noreturn void power_off(void)
{
	char line[4096] = "";
	cleanup_close int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
	line[n > 0 ? n : 0] = 0;
	proc_kill_all();
	root_leave();
	sync();
	reboot(strstr(line, "acpi=off") ? RB_AUTOBOOT : RB_POWER_OFF);
	for (;;)
		pause();
}
