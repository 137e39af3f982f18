/* All layers of an image as one tar stream, lowest layer first, as a root file system would have
 * them. */
#pragma once
#include "image/layer.h"

struct merge {
	const struct layer_source *layer;
	size_t layers;
	int out; /* the stream goes here */
	void (*progress)(
	    void *arg, uint64_t done, uint64_t total); /* bytes of the layers read; may be NULL */
	void *arg;
	uint64_t total;
	/* told at the end */
	uint64_t files, content, devices;
};

int merge_layers(struct merge *m, struct err *e) must_check;
