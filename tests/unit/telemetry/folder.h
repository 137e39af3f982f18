/* A folder for one test, gone after it. */
#pragma once
#include "../unit.h"
#include "base/file.h"
#include <fcntl.h>

struct folder {
	char path[40];
	int fd;
};

static inline int folder_make(void **s)
{
	struct folder *f = calloc(1, sizeof(*f));
	snprintf(f->path, sizeof(f->path), "/tmp/ward-unit-XXXXXX");
	if (!mkdtemp(f->path))
		return -1;
	f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*s = f;
	return f->fd < 0 ? -1 : 0;
}

static inline int folder_remove(void **s)
{
	struct folder *f = *s;
	struct err e;
	close(f->fd);
	int r = dir_remove(AT_FDCWD, f->path, &e);
	free(f);
	return r;
}
