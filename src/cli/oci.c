#include "cli/oci.h"
#include "base/file.h"
#include "base/str.h"
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

enum { ENTRIES_MAX = 100000 };

struct oci_reader {
	struct archive *archive; /* or */
	int fd;
};

void oci_blob_close(struct oci_reader *r)
{
	if (!r)
		return;
	archive_read_free(r->archive);
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

ssize_t oci_blob_read(void *reader, void *p, size_t n)
{
	struct oci_reader *r = reader;
	if (r->archive)
		return archive_read_data(r->archive, p, n);
	ssize_t k;
	do
		k = read(r->fd, p, n);
	while (k < 0 && errno == EINTR);
	return k;
}

static int find_entry(const struct oci_image *i, struct archive *a, const char *name, struct err *e)
{
	archive_read_support_format_tar(a);
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_filter_xz(a);
	if (archive_read_open_filename(a, i->path, 1 << 20) != ARCHIVE_OK)
		return err_set(
		    e, ERR_IMAGE, "%.200s is no archive: %.100s", i->path, archive_error_string(a));
	struct archive_entry *entry;
	for (unsigned n = 0; n < ENTRIES_MAX; n++) {
		int rc = archive_read_next_header(a, &entry);
		if (rc == ARCHIVE_EOF)
			break;
		if (rc != ARCHIVE_OK)
			return err_set(e, ERR_IMAGE,
			    "%.200s cannot be read as a tar archive: %.100s", i->path,
			    archive_error_string(a));
		const char *path = archive_entry_pathname(entry);
		if (path && streq(str_starts(path, "./") ? path + 2 : path, name))
			return 0;
	}
	return err_set(e, ERR_IMAGE, "%.200s holds no %s: it is not an OCI archive", i->path, name);
}

static int open_member(
    const struct oci_image *i, const char *name, struct oci_reader **ret, struct err *e)
{
	struct oci_reader *r = calloc(1, sizeof(*r));
	if (!r) {
		err_set(e, ERR_NO_MEMORY, "no memory to read an image");
		return -ENOMEM;
	}
	r->fd = -1;
	int rc = 0;
	if (i->folder) {
		char path[4096];
		int n = snprintf(path, sizeof(path), "%s/%s", i->path, name);
		r->fd = n > 0 && (size_t)n < sizeof(path)
			    ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
			    : -1;
		if (r->fd < 0)
			rc = err_set(e, ERR_IMAGE, "%.200s holds no %s: it is not an OCI layout",
			    i->path, name);
	} else if (!(r->archive = archive_read_new())) {
		rc = err_set(e, ERR_NO_MEMORY, "no memory to read an image");
	} else {
		rc = find_entry(i, r->archive, name, e);
	}
	if (rc < 0)
		oci_blob_close(r);
	else
		*ret = r;
	return rc;
}

static int read_json(const struct oci_image *i, const char *name, json_t **ret, struct err *e)
{
	struct oci_reader *reader = NULL;
	int r = open_member(i, name, &reader, e);
	if (r < 0)
		return r;
	cleanup_buf struct buf b;
	buf_init(&b, OCI_JSON_MAX);
	char piece[16384];
	ssize_t n;
	while (r == 0 && (n = oci_blob_read(reader, piece, sizeof(piece))) != 0)
		if (n < 0 || buf_add(&b, piece, (size_t)n) < 0)
			r = err_set(e, ERR_IMAGE, "%s of %.200s cannot be read", name, i->path);
	oci_blob_close(reader);
	if (r < 0)
		return r;
	struct err why;
	if (json_parse(b.len ? b.data : "", b.len, ret, &why) < 0)
		return err_set(e, ERR_IMAGE, "%s of %.150s: %.150s", name, i->path, why.text);
	return 0;
}

static bool is_digest(const char *s)
{
	return s && str_starts(s, "sha256:") && str_is_hex(s + 7, 64);
}

static void blob_name(const char *digest, char ret[96])
{
	snprintf(ret, 96, "blobs/sha256/%s", digest + 7);
}

/* A descriptor's digest and size. */
static int add_blob(struct oci_image *i, const json_t *descriptor, struct err *e)
{
	const char *digest = json_string_value(json_object_get(descriptor, "digest"));
	json_int_t size = json_integer_value(json_object_get(descriptor, "size"));
	if (!is_digest(digest) || size < 0 || !json_is_integer(json_object_get(descriptor, "size")))
		return err_set(e, ERR_IMAGE,
		    "%.200s has a descriptor without a SHA-256 digest and a size", i->path);
	for (size_t k = 0; k < i->nblobs; k++)
		if (streq(i->blobs[k].digest, digest))
			return 0; /* one layer may stand twice */
	if (i->nblobs == OCI_BLOBS_MAX)
		return err_set(
		    e, ERR_IMAGE, "%.200s has more than %d blobs", i->path, OCI_BLOBS_MAX);
	struct oci_blob *b = &i->blobs[i->nblobs++];
	str_copy(b->digest, sizeof(b->digest), digest);
	b->size = (uint64_t)size;
	return 0;
}

static const char *this_architecture(void)
{
	static struct utsname u;
	uname(&u);
	return streq(u.machine, "x86_64")    ? "amd64"
	       : streq(u.machine, "aarch64") ? "arm64"
					     : u.machine;
}

/* The manifest of an index for linux on this architecture; one without a platform will do when it
 * is the only one. */
static const json_t *choose(const json_t *index)
{
	const json_t *list = json_object_get(index, "manifests");
	for (size_t k = 0; k < json_array_size(list); k++) {
		const json_t *m = json_array_get(list, k), *p = json_object_get(m, "platform");
		const char *os = json_string_value(json_object_get(p, "os")),
			   *arch = json_string_value(json_object_get(p, "architecture"));
		if (os && arch && streq(os, "linux") && streq(arch, this_architecture()))
			return m;
	}
	const json_t *only = json_array_size(list) == 1 ? json_array_get(list, 0) : NULL;
	return only && !json_object_get(only, "platform") ? only : NULL;
}

static int read_manifest(struct oci_image *i, const json_t *index, unsigned depth, struct err *e)
{
	const json_t *m = choose(index);
	const char *digest = json_string_value(json_object_get(m, "digest"));
	char name[96];
	if (!is_digest(digest))
		return err_set(
		    e, ERR_IMAGE, "%.200s has no image for linux/%s", i->path, this_architecture());
	blob_name(digest, name);
	cleanup_json json_t *manifest = NULL;
	int r = read_json(i, name, &manifest, e);
	if (r < 0)
		return r;
	if (json_object_get(manifest,
		"manifests")) /* an index in the index, as builders for several platforms write */
		return depth ? read_manifest(i, manifest, depth - 1, e)
			     : err_set(e, ERR_IMAGE, "%.200s has indexes nested too deep", i->path);
	const json_t *layers = json_object_get(manifest, "layers");
	if (!json_is_array(layers))
		return err_set(e, ERR_IMAGE, "the manifest of %.200s has no layers", i->path);
	for (size_t k = 0; r == 0 && k < json_array_size(layers); k++)
		r = add_blob(i, json_array_get(layers, k), e);
	if (r == 0)
		r = add_blob(i, json_object_get(manifest, "config"), e);
	if (r == 0)
		r = add_blob(i, m, e);
	str_copy(i->manifest, sizeof(i->manifest), digest);
	return r;
}

int oci_open(const char *path, struct oci_image *ret, struct err *e)
{
	struct stat st;
	*ret = (struct oci_image){ .path = path };
	if (stat(path, &st) < 0)
		return err_set(e, ERR_IMAGE_MISSING, "the image %.300s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(e, ERR_IMAGE, "%.300s is neither a file nor a folder", path);
	ret->folder = S_ISDIR(st.st_mode);
	cleanup_json json_t *index = NULL;
	int r = read_json(ret, "index.json", &index, e);
	return r == 0 ? read_manifest(ret, index, 2, e) : r;
}

int oci_blob_open(
    const struct oci_image *i, const struct oci_blob *b, struct oci_reader **ret, struct err *e)
{
	char name[96];
	blob_name(b->digest, name);
	return open_member(i, name, ret, e);
}
