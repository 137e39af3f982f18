/* An OCI image on this machine: a layout folder, or an archive of one (tar, compressed or not).
 * Only what an upload needs is read: the index, the manifest for this platform, and each blob's
 * bytes. */
#pragma once
#include "base/json.h"

enum { OCI_BLOBS_MAX = 256, OCI_JSON_MAX = 4 << 20 };

struct oci_blob {
	char digest[72]; /* "sha256:" and 64 hex digits */
	uint64_t size;
};

struct oci_image {
	const char *path;
	bool folder;
	struct oci_blob blobs[OCI_BLOBS_MAX]; /* layers, then the config, then the manifest: in this
						 order they are uploaded */
	size_t nblobs;
	char manifest[72];
};

/* path must outlive the image. ERR_IMAGE_MISSING, ERR_IMAGE. */
int oci_open(const char *path, struct oci_image *ret, struct err *e) must_check;

struct oci_reader;
int oci_blob_open(const struct oci_image *i, const struct oci_blob *b, struct oci_reader **ret,
    struct err *e) must_check;
ssize_t oci_blob_read(void *reader, void *p, size_t n); /* 0 at the end, negative on failure */
void oci_blob_close(struct oci_reader *r);
