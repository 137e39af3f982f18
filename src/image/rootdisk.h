/* Layers -> squashfs: the merger and tar2sqfs, two caged children with a pipe between them. */
#pragma once
#include "image/merge.h"
#include "image/serve.h"

struct rootdisk {
	const struct layer_source *layer;
	size_t layers;
	const char *tar2sqfs; /* the program */
	const char *path;     /* of the file to make; absolute */
	int conn;             /* who is told of progress; -1: nobody */
	const struct image_ask *ask;
};

int rootdisk_build(const struct rootdisk *d, struct err *e) must_check;
