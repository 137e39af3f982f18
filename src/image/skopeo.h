/* One run of skopeo: a registry's image -> a folder with manifest.json and the blobs, each named by
 * its digest. */
#pragma once
#include "image/fetch.h"
#include "proto/image_ref.h"

/* folder: absolute, exists, empty; the image lands in "image" below it. Bounded in time and bytes;
 * tells of progress. */
int skopeo_copy(const struct fetch *f, const struct image_ref *ref, const char *folder, int conn,
    const struct image_ask *ask, struct err *e) must_check;
