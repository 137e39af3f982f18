#include "cli/upload.h"
#include "cli/api.h"
#include "cli/oci.h"
#include "cli/out.h"

bool upload_is_file(const char *image)
{
	static const char *const ends[] = { ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz",
		".oci" };
	if (*image == '/' || *image == '.' || access(image, F_OK) == 0)
		return true;
	for (size_t i = 0; i < countof(ends); i++)
		if (str_ends(image, ends[i]))
			return true;
	return false;
}

int upload_check(const char *image, struct err *e)
{
	if (!upload_is_file(image))
		return 0;
	struct oci_image *i = malloc(sizeof(*i));
	if (!i)
		return err_set(e, ERR_NO_MEMORY, "no memory to read an image");
	int r = oci_open(image, i, e);
	free(i);
	return r;
}

static int send_blob(struct api *api, const struct oci_image *i, const struct oci_blob *b,
    const char *path, struct err *e)
{
	struct oci_reader *reader = NULL;
	int r = oci_blob_open(i, b, &reader, e);
	if (r < 0)
		return r;
	r = api_put(api, path, b->size, oci_blob_read, reader, e);
	oci_blob_close(reader);
	return r < 0 ? err_prefix(e, r, "uploading %.19s…", b->digest) : 0;
}

static int send_missing(struct cli *c, const struct oci_image *i, struct err *e)
{
	struct api *api = NULL;
	size_t sent = 0;
	uint64_t bytes = 0;
	int r = cli_api(c, &api, e);
	for (size_t k = 0; r == 0 && k < i->nblobs; k++) {
		const struct oci_blob *b = &i->blobs[k];
		cleanup_buf struct buf path;
		buf_init(&path, 256);
		if (api_path(&path, "/v1/blobs/%s", b->digest) < 0)
			return err_set(e, ERR_NO_MEMORY, "no memory for a request");
		r = api_head(api, path.data, e);
		if (r != -ENOENT)
			continue;
		out_progress(
		    "uploading blob %zu of %zu (%.1f MB)", k + 1, i->nblobs, (double)b->size / 1e6);
		r = send_blob(api, i, b, path.data, e);
		sent++;
		bytes += b->size;
	}
	if (r == 0)
		out_say("image %.19s: %zu of %zu blobs uploaded (%.1f MB), the rest was there",
		    i->manifest, sent, i->nblobs, (double)bytes / 1e6);
	return r;
}

int upload_image(struct cli *c, const char *image, char ret[400], struct err *e)
{
	if (!upload_is_file(image))
		return str_copy(ret, 380, image)
			   ? 0
			   : err_set(e, ERR_INVALID, "the image's reference is too long");
	struct oci_image *i = malloc(sizeof(*i));
	if (!i)
		return err_set(e, ERR_NO_MEMORY, "no memory to read an image");
	int r = oci_open(image, i, e);
	if (r == 0)
		r = send_missing(c, i, e);
	if (r == 0)
		str_copy(ret, 400, i->manifest);
	free(i);
	return r;
}
