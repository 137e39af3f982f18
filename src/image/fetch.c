#include "image/fetch.h"
#include "base/file.h"
#include "base/id.h"
#include "base/str.h"
#include "image/blobs.h"
#include "image/sha256.h"
#include "image/skopeo.h"
#include "proto/oci.h"
#include <dirent.h>
#include <fcntl.h>

static const char temporary[] = "fetching.";

/* Follows an index, then checks that all of the manifest's blobs are here. -ENOENT with
 * ERR_IMAGE_MISSING: one is not. */
static int complete(
    const struct fetch *f, const char *digest, char ret[65], struct oci_manifest *m, struct err *e)
{
	char name[65];
	memcpy(name, digest, sizeof(name));
	for (int hop = 0;; hop++) {
		cleanup_free char *text = NULL;
		size_t len = 0;
		int r = blob_read(f->blobs, name, OCI_DOCUMENT_MAX, &text, &len, e);
		if (r == 0)
			r = oci_manifest_parse(m, text, len, e);
		if (r < 0)
			return r;
		if (m->kind == OCI_MANIFEST)
			break;
		if (hop)
			return err_set(e, ERR_IMAGE, "an index that names another index");
		memcpy(name, m->chosen.digest, sizeof(name));
	}
	if (blob_has(f->blobs, m->config.digest) < 0)
		return err_set(e, ERR_IMAGE_MISSING,
		    "the image's configuration, sha256:%s, is not here", m->config.digest);
	for (size_t i = 0; i < m->layers; i++)
		if (blob_has(f->blobs, m->layer[i].digest) < 0)
			return err_set(e, ERR_IMAGE_MISSING,
			    "layer %zu of the image, sha256:%s, is not here", i + 1,
			    m->layer[i].digest);
	memcpy(ret, name, sizeof(name));
	return 0;
}

/* The folder skopeo filled -> blobs. The manifest comes last: where it is, the rest is. */
static int adopt(
    const struct fetch *f, int image, struct oci_manifest *m, char ret[65], struct err *e)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	struct sha256 *h = NULL;
	int r = file_read(image, "manifest.json", OCI_DOCUMENT_MAX, &text, &len, e);
	if (r == 0)
		r = oci_manifest_parse(m, text, len, e);
	if (r == 0 && m->kind != OCI_MANIFEST)
		r = err_set(e, ERR_IMAGE, "the registry gave an index where a manifest belongs");
	if (r == 0)
		r = sha256_new(&h, e);
	if (r == 0)
		r = sha256_add(h, text, len, e);
	if (r == 0)
		r = sha256_hex(h, ret, e);
	sha256_free(h);
	if (r == 0)
		r = blob_adopt(f->blobs, m->config.digest, image, m->config.digest, e);
	for (size_t i = 0; r == 0 && i < m->layers; i++)
		r = blob_adopt(f->blobs, m->layer[i].digest, image, m->layer[i].digest, e);
	return r == 0 ? blob_adopt(f->blobs, ret, image, "manifest.json", e) : r;
}

static int from_registry(const struct fetch *f, const struct image_ref *ref, int conn,
    const struct image_ask *ask, struct oci_manifest *m, char ret[65], struct err *e)
{
	char name[32], tag[9], path[200], image[48];
	id_hex(tag, 8);
	snprintf(name, sizeof(name), "%s%s", temporary, tag);
	snprintf(image, sizeof(image), "%s/image", name);
	int n = snprintf(path, sizeof(path), "%s/%s", f->home_path, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ERR_INVALID, "the path of the blobs' folder is too long");
	int r = dir_make(f->home, name, 0700, e);
	if (r == 0)
		r = skopeo_copy(f, ref, path, conn, ask, e);
	if (r == 0) {
		cleanup_close int fd = dir_open(f->home, image, e);
		r = fd < 0 ? fd : adopt(f, fd, m, ret, e);
	}
	struct err later;
	if (dir_remove(f->home, name, &later) < 0 && r == 0)
		r = err_set(e, later.code, "%s", later.text);
	return r;
}

int fetch(const struct fetch *f, int conn, const struct image_ask *ask, char ret_digest[65],
    struct err *e)
{
	struct image_ref ref = { 0 };
	struct oci_manifest *m = calloc(1, sizeof(*m));
	int r = m ? image_ref_parse(&ref, ask->ref, e)
		  : err_set(e, ERR_NO_MEMORY, "no memory to fetch an image");
	if (r == 0) {
		r = ref.digest[0] ? complete(f, ref.digest, ret_digest, m, e) : -ENOENT;
		if (r == -ENOENT && ref.kind == IMAGE_REF_REGISTRY)
			r = from_registry(f, &ref, conn, ask, m, ret_digest, e);
	}
	free(m);
	return r;
}

int fetch_clean(const struct fetch *f, struct err *e)
{
	int fd = openat(f->home, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return err_sys(e, errno, "cannot list the blobs' folder");
	int r = 0;
	for (struct dirent *de; r == 0 && (de = readdir(d));)
		if (str_starts(de->d_name, temporary))
			r = dir_remove(f->home, de->d_name, e);
	closedir(d);
	return r == 0 ? blob_clean(f->blobs, e) : r;
}
