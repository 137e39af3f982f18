#include "guest/modules.h"
#include "base/file.h"
#include "guest/say.h"
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

void modules_load(void)
{
	cleanup_free char *list = NULL;
	struct err e = { 0 };
	char *save = NULL;
	if (file_read(AT_FDCWD, "/modules/order", 65536, &list, NULL, &e) < 0) {
		say("no list of modules: %s", e.text);
		return;
	}
	for (char *name = strtok_r(list, "\n", &save); name; name = strtok_r(NULL, "\n", &save)) {
		char path[128];
		snprintf(path, sizeof path, "/modules/%s.ko", name);
		cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
			say("module %s: %s", name, strerror(errno));
		(void)unlink(path); /* the initramfs is memory */
	}
}
