#include "image/convert.h"
#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/str.h"
#include "image/blobs.h"
#include "proto/oci.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

static const char temporary[] = ".making.";

struct image {
	char digest[65], root[65];
	struct oci_manifest manifest;
	struct oci_config config;
	int fd[OCI_LAYERS_MAX];
	uint64_t size; /* of the root disk */
};

static int read_image(const struct convert *c, struct image *im, struct err *e)
{
	cleanup_free char *manifest = NULL, *config = NULL;
	size_t len = 0;
	int r = blob_read(c->blobs, im->digest, OCI_DOCUMENT_MAX, &manifest, &len, e);
	if (r == 0)
		r = oci_manifest_parse(&im->manifest, manifest, len, e);
	if (r == 0 && im->manifest.kind != OCI_MANIFEST)
		r = err_set(
		    e, ERR_IMAGE, "sha256:%s is an index: ask for the manifest in it", im->digest);
	if (r == 0)
		r = blob_read(
		    c->blobs, im->manifest.config.digest, OCI_DOCUMENT_MAX, &config, &len, e);
	if (r == 0)
		r = oci_config_parse(&im->config, config, len, im->manifest.layers, e);
	if (r == 0)
		oci_root_name(im->root, &im->config);
	return r;
}

static int open_layers(const struct convert *c, struct image *im, struct err *e)
{
	for (size_t i = 0; i < im->manifest.layers; i++) {
		const struct oci_blob *b = &im->manifest.layer[i];
		struct stat st;
		im->fd[i] =
		    openat(c->blobs, b->digest, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (im->fd[i] < 0 || fstat(im->fd[i], &st))
			return errno == ENOENT
				   ? err_set(e, ERR_IMAGE_MISSING,
					 "layer %zu, sha256:%s, is not here", i + 1, b->digest)
				   : err_sys(e, errno, "cannot open layer %zu", i + 1);
		if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != b->size)
			return err_set(e, ERR_IMAGE,
			    "layer %zu has not the size that the manifest says", i + 1);
	}
	return 0;
}

static int root_size(const struct convert *c, struct image *im, const char *name)
{
	struct stat st;
	if (fstatat(c->images, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return -EINVAL;
	im->size = (uint64_t)st.st_size;
	return 0;
}

/* Makes the file whole and durable before it gets its name. */
static int keep(const struct convert *c, const char *from, const char *to, struct err *e)
{
	cleanup_close int fd = openat(c->images, from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fchmod(fd, 0444) || fsync(fd) || renameat(c->images, from, c->images, to) ||
	    fsync(c->images))
		return err_sys(e, errno, "cannot keep the root disk");
	return 0;
}

static int build(const struct convert *c, struct image *im, int conn, const struct image_ask *ask,
    const char *name, struct err *e)
{
	char tmp[64], tag[9], path[400];
	struct layer_source layer[OCI_LAYERS_MAX];
	id_hex(tag, 8);
	snprintf(tmp, sizeof(tmp), "%s%s", temporary, tag);
	int n = snprintf(path, sizeof(path), "%s/%s", c->images_path, tmp);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ERR_INVALID, "the path of the images' folder is too long");
	int r = open_layers(c, im, e);
	for (size_t i = 0; i < im->manifest.layers; i++)
		layer[i] =
		    (struct layer_source){ im->fd[i], im->config.diff_id[i], (unsigned)i + 1 };
	const struct rootdisk d = { layer, im->manifest.layers, c->tar2sqfs, path, conn, ask };
	if (r == 0)
		r = rootdisk_build(&d, e);
	if (r == 0)
		r = keep(c, tmp, name, e);
	if (r < 0)
		unlinkat(c->images, tmp, 0);
	return r;
}

static int write_description(const struct convert *c, const struct image *im, struct err *e)
{
	char name[72];
	snprintf(name, sizeof(name), "%s.json", im->digest);
	cleanup_json json_t *j = json_pack("{s:i, s:s, s:s, s:I, s:O}", "v", 1, "digest",
	    im->digest, "root", im->root, "size", (json_int_t)im->size, "config", im->config.run);
	return j ? json_write_file(c->images, name, j, 0444, e)
		 : err_set(e, ERR_NO_MEMORY, "no memory to describe the image");
}

/* -ENOENT: not made yet (or a part of it is gone). */
static int from_cache(const struct convert *c, struct image *im, struct err *e)
{
	char name[80];
	const char *root = "";
	cleanup_json json_t *j = NULL;
	snprintf(name, sizeof(name), "%s.json", im->digest);
	int r = json_read_file(c->images, name, OCI_DOCUMENT_MAX, &j, e);
	if (r == 0)
		r = json_need_str(j, "", "root", &root, e);
	if (r < 0 || !str_is_hex(root, 64))
		return -ENOENT;
	memcpy(im->root, root, 65);
	snprintf(name, sizeof(name), "%s.squashfs", root);
	return root_size(c, im, name) < 0 ? -ENOENT : 0;
}

static int make(
    const struct convert *c, struct image *im, int conn, const struct image_ask *ask, struct err *e)
{
	char name[80];
	/* one conversion at a time: each may take a processor and two gigabytes */
	cleanup_close int lock =
	    openat(c->images, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0 || flock(lock, LOCK_EX))
		return err_sys(e, errno, "cannot take the converter's lock");
	if (from_cache(c, im, NULL) == 0)
		return 0;
	int r = read_image(c, im, e);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%s.squashfs", im->root);
	if (root_size(c, im, name) < 0) { /* another manifest may have the same layers */
		r = build(c, im, conn, ask, name, e);
		if (r == 0 && root_size(c, im, name) < 0)
			r = err_set(e, ERR_INTERNAL, "the root disk is gone");
	}
	return r == 0 ? write_description(c, im, e) : r;
}

int convert(const struct convert *c, const char digest[65], int conn, const struct image_ask *ask,
    char ret_root[65], struct err *e)
{
	struct image *im = calloc(1, sizeof(*im));
	if (!im)
		return err_set(e, ERR_NO_MEMORY, "no memory to convert an image");
	memcpy(im->digest, digest, 65);
	for (size_t i = 0; i < countof(im->fd); i++)
		im->fd[i] = -1;
	int r = from_cache(c, im, NULL);
	if (r < 0)
		r = make(c, im, conn, ask, e);
	if (r == 0)
		memcpy(ret_root, im->root, 65);
	for (size_t i = 0; i < countof(im->fd); i++)
		if (im->fd[i] >= 0)
			close(im->fd[i]);
	oci_config_done(&im->config);
	free(im);
	return r;
}

int convert_clean(const struct convert *c, struct err *e)
{
	int fd = openat(c->images, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return err_sys(e, errno, "cannot list the images");
	for (struct dirent *de; (de = readdir(d));)
		if (str_starts(de->d_name, temporary))
			unlinkat(c->images, de->d_name, 0);
	closedir(d);
	return 0;
}
