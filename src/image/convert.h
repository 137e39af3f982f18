/* From a manifest's digest to <images>/<root>.squashfs and <images>/<digest>.json; both are kept,
 * so that a second ask costs nothing. */
#pragma once
#include "image/rootdisk.h"

struct convert {
	int blobs, images;       /* folders: <lib>/blobs/sha256 (to read), <lib>/images */
	const char *images_path; /* the same, absolute: tar2sqfs opens its file by name */
	const char *tar2sqfs;
};

int convert(const struct convert *c, const char digest[65], int conn, const struct image_ask *ask,
    char ret_root[65], struct err *e) must_check;

/* Removes what a killed conversion left. */
int convert_clean(const struct convert *c, struct err *e) must_check;
