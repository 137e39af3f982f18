#include "image/layer.h"
#include "base/str.h"
#include "image/sha256.h"
#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

enum { CHUNK = 256 * 1024 };

/* Two archives, one inside the other: `outer` takes the compression off and gives bytes, which are
 * hashed, counted, and read as tar by `inner`. */
struct reading {
	const struct layer_source *src;
	struct layer_budget *budget;
	struct archive *outer, *inner;
	struct sha256 *hash;
	uint64_t compressed, plain; /* of this layer, in the budget already */
	struct err bound;           /* set when a bound was passed: libarchive only says "failed" */
	char in[CHUNK], out[CHUNK];
};

int layer_prepare(struct err *e)
{
	char probe[65];
	struct sha256 *h = NULL;
	/* names are bytes to us; to libarchive they are UTF-8, which this locale passes through as
	 * they are */
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return err_set(e, ERR_SYSTEM, "the C library has no locale C.UTF-8");
	int r = sha256_new(&h, e);
	if (r == 0)
		r = sha256_hex(h, probe, e);
	sha256_free(h);
	return r;
}

static int check_bounds(struct reading *r)
{
	const struct layer_budget *b = r->budget;
	if (MAX(b->plain, b->content) > LAYER_PLAIN_MAX)
		return err_set(
		    &r->bound, ERR_IMAGE, "more than %llu bytes uncompressed", LAYER_PLAIN_MAX);
	return 0;
}

/* What came out so far, against what went in so far; for what files say of themselves (a sparse one
 * needs no bytes for its holes), only at the layer's end. */
static int check_ratio(struct reading *r, uint64_t out)
{
	if (out <= LAYER_RATIO_FROM || out / LAYER_RATIO_MAX <= r->budget->compressed)
		return 0;
	return err_set(&r->bound, ERR_IMAGE,
	    "%llu bytes out of %llu: compressed more than %d to 1, as no real image is",
	    (unsigned long long)out, (unsigned long long)r->budget->compressed, LAYER_RATIO_MAX);
}

static ssize_t take_compressed(struct archive *a, void *arg, const void **ret)
{
	struct reading *r = arg;
	ssize_t n;
	do
		n = pread(r->src->fd, r->in, sizeof(r->in), (off_t)r->compressed);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		archive_set_error(a, errno, "cannot read the blob");
		return -1;
	}
	r->compressed += (uint64_t)n;
	r->budget->compressed += (uint64_t)n;
	*ret = r->in;
	return n;
}

static ssize_t take_plain(struct archive *a, void *arg, const void **ret)
{
	struct reading *r = arg;
	la_ssize_t n = archive_read_data(r->outer, r->out, sizeof(r->out));
	if (n < 0) {
		archive_set_error(a, EINVAL, "%s", archive_error_string(r->outer));
		return -1;
	}
	r->plain += (uint64_t)n;
	r->budget->plain += (uint64_t)n;
	if (check_bounds(r) < 0 || check_ratio(r, r->budget->plain) < 0 ||
	    sha256_add(r->hash, r->out, (size_t)n, &r->bound) < 0) {
		archive_set_error(a, EFBIG, "a bound was passed");
		return -1;
	}
	*ret = r->out;
	return n;
}

static int broken(const struct reading *r, struct archive *a, struct err *e)
{
	if (r->bound.code) {
		*e = r->bound;
		return err_prefix(e, -EINVAL, "layer %u", r->src->number);
	}
	const char *why = archive_error_string(a);
	return err_set(e, ERR_IMAGE, "layer %u cannot be read: %s", r->src->number,
	    why ? why : "not a tar archive");
}

static int open_both(struct reading *r, struct err *e)
{
	struct archive_entry *raw;
	struct archive *o = r->outer = archive_read_new();
	struct archive *i = r->inner = archive_read_new();
	if (!o || !i)
		return err_set(e, ERR_NO_MEMORY, "no memory to read a layer");
	if (archive_read_support_filter_gzip(o) || archive_read_support_filter_zstd(o) ||
	    archive_read_support_format_raw(o) || archive_read_support_format_empty(o) ||
	    archive_read_support_format_tar(i) || archive_read_support_format_empty(i))
		return err_set(e, ERR_INTERNAL, "libarchive lacks gzip, zstd or tar");
	if (archive_read_open(o, r, NULL, take_compressed, NULL) ||
	    (archive_read_next_header(o, &raw) != ARCHIVE_OK && archive_errno(o)))
		return broken(r, o, e);
	return archive_read_open(i, r, NULL, take_plain, NULL) ? broken(r, i, e) : 0;
}

/* What is kept: what programs in the machine can see and use. Not the host's labels
 * (security.selinux), nor what would speak to the overlay file system beneath the machine
 * (trusted.*). */
static bool keeps(const char *name)
{
	return str_starts(name, "user.") || streq(name, "security.capability");
}

static int take_xattrs(struct xattrs *x, struct archive_entry *ae, struct err *e)
{
	const char *name;
	const void *value;
	size_t size;
	x->count = 0;
	archive_entry_xattr_reset(ae);
	while (archive_entry_xattr_next(ae, &name, &value, &size) == ARCHIVE_OK) {
		if (!name || !keeps(name))
			continue;
		if (x->count == TREE_XATTRS_MAX || size > TREE_XATTR_SIZE_MAX ||
		    strlen(name) > TREE_NAME_MAX)
			return err_set(e, ERR_IMAGE, "too many or too large extended attributes");
		/* some writers say each twice, in two forms: the last counts */
		size_t at = 0;
		while (at < x->count && !streq(x->list[at].name, name))
			at++;
		x->list[at] =
		    (struct xattr){ (char *)(uintptr_t)name, (void *)(uintptr_t)value, size };
		x->count = MAX(x->count, at + 1);
	}
	return 0;
}

/* A path below /dev: the machine's kernel fills that folder itself. */
static bool in_dev(const char *path)
{
	while (*path == '/' || str_starts(path, "./"))
		path += *path == '/' ? 1 : 2;
	return str_starts(path, "dev/") && !strstr(path, "..");
}

/* 1: leave it out. */
static int take_type(
    struct tree_entry *t, struct archive_entry *ae, struct layer_budget *b, struct err *e)
{
	if (archive_entry_hardlink(ae)) {
		t->type = TREE_HARDLINK;
		t->link = archive_entry_hardlink(ae);
		return 0;
	}
	switch (archive_entry_filetype(ae)) {
	case AE_IFREG: t->type = TREE_FILE; return 0;
	case AE_IFDIR: t->type = TREE_DIR; return 0;
	case AE_IFIFO: t->type = TREE_FIFO; return 0;
	case AE_IFLNK:
		t->type = TREE_SYMLINK;
		t->link = archive_entry_symlink(ae);
		return t->link ? 0 : err_set(e, ERR_IMAGE, "a symbolic link to nowhere");
	case AE_IFCHR:
	case AE_IFBLK:
		if (!in_dev(t->path))
			return err_set(e, ERR_IMAGE, "a device node, which an image may not bring");
		b->devices++;
		return 1;
	default: return err_set(e, ERR_IMAGE, "neither file, folder, link nor pipe");
	}
}

static int take_entry(
    struct tree_entry *t, struct archive_entry *ae, struct layer_budget *b, struct err *e)
{
	int64_t size = archive_entry_size_is_set(ae) ? archive_entry_size(ae) : 0;
	int64_t uid = archive_entry_uid(ae), gid = archive_entry_gid(ae),
		mtime = archive_entry_mtime(ae);
	t->path = archive_entry_pathname(ae);
	if (!t->path)
		return err_set(e, ERR_IMAGE, "an entry whose name is not UTF-8");
	int r = take_type(t, ae, b, e);
	if (r)
		return r;
	if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
		return err_set(e, ERR_IMAGE, "an owner that is no user id");
	if (size < 0 || (uint64_t)size > LAYER_PLAIN_MAX)
		return err_set(e, ERR_IMAGE, "a file of more than %llu bytes", LAYER_PLAIN_MAX);
	t->mode = archive_entry_perm(ae);
	t->uid = (uint32_t)uid;
	t->gid = (uint32_t)gid;
	t->mtime = mtime < 0 ? 0 : (uint32_t)MIN(mtime, (int64_t)UINT32_MAX);
	t->size = t->type == TREE_FILE ? (uint64_t)size : 0;
	return 0;
}

static int zeros(const struct layer_sink *sink, uint64_t n, struct err *e)
{
	static const char none[65536];
	int r = 0;
	for (; r == 0 && n; n -= MIN(n, sizeof(none)))
		r = sink->data(sink->arg, none, MIN(n, sizeof(none)), e);
	return r;
}

static int give_content(
    struct reading *r, uint64_t size, const struct layer_sink *sink, struct err *e)
{
	uint64_t done = 0;
	for (;;) {
		const void *p;
		size_t n;
		la_int64_t at;
		int k = archive_read_data_block(r->inner, &p, &n, &at);
		if (k == ARCHIVE_EOF)
			return zeros(sink, size - done, e);
		if (k != ARCHIVE_OK)
			return broken(r, r->inner, e);
		if (at < 0 || (uint64_t)at < done || (uint64_t)at > size || n > size - (uint64_t)at)
			return err_set(e, ERR_IMAGE, "a file whose parts overlap");
		int w = zeros(sink, (uint64_t)at - done, e);
		if (w == 0 && n)
			w = sink->data(sink->arg, p, n, e);
		if (w < 0)
			return w;
		done = (uint64_t)at + n;
	}
}

static int one_entry(struct reading *r, struct archive_entry *ae, uint64_t ordinal,
    const struct layer_sink *sink, struct err *e)
{
	struct xattrs x;
	struct tree_entry t = { .ordinal = ordinal, .xattrs = &x };
	bool want = false;
	int k = take_entry(&t, ae, r->budget, e);
	if (k == 0)
		k = take_xattrs(&x, ae, e);
	if (k == 0) {
		r->budget->content += t.size;
		k = check_bounds(r) < 0 ? broken(r, r->inner, e)
					: sink->entry(sink->arg, &t, &want, e);
		if (k < 0 && e->code == ERR_IMAGE && r->bound.code == 0)
			err_prefix(e, k, "layer %u, \"%.120s\"", r->src->number, t.path);
		return k == 0 && want && t.type == TREE_FILE ? give_content(r, t.size, sink, e) : k;
	}
	return k < 0
		   ? err_prefix(e, k, "layer %u, \"%.120s\"", r->src->number, t.path ? t.path : "?")
		   : 0;
}

static int read_all(struct reading *r, const struct layer_sink *sink, struct err *e)
{
	struct archive_entry *ae;
	int k;
	for (uint64_t ordinal = 0; (k = archive_read_next_header(r->inner, &ae)) != ARCHIVE_EOF;
	     ordinal++) {
		/* ARCHIVE_WARN: read, but something in it could not be understood, such as a name
		 */
		if (k != ARCHIVE_OK && k != ARCHIVE_WARN)
			return broken(r, r->inner, e);
		int w = one_entry(r, ae, ordinal, sink, e);
		if (w < 0)
			return w;
	}
	/* the hash is of all bytes, also of those after the archive's end */
	for (;;) {
		const void *p;
		ssize_t n = take_plain(r->inner, r, &p);
		if (n < 0)
			return broken(r, r->inner, e);
		if (!n)
			return check_ratio(r, r->budget->content) < 0 ? broken(r, r->inner, e) : 0;
	}
}

static int check_hash(struct reading *r, struct err *e)
{
	char hex[65];
	int k = sha256_hex(r->hash, hex, e);
	if (k < 0)
		return k;
	return streq(hex, r->src->diff_id) ? 0
					   : err_set(e, ERR_IMAGE,
						 "layer %u is not the one the image names: "
						 "sha256:%.12s..., not sha256:%.12s...",
						 r->src->number, hex, r->src->diff_id);
}

int layer_read(const struct layer_source *src, struct layer_budget *budget,
    const struct layer_sink *sink, struct err *e)
{
	struct reading *r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(e, ERR_NO_MEMORY, "no memory to read a layer");
	r->src = src;
	r->budget = budget;
	int k = sha256_new(&r->hash, e);
	if (k == 0)
		k = open_both(r, e);
	if (k == 0)
		k = read_all(r, sink, e);
	if (k == 0)
		k = check_hash(r, e);
	archive_read_free(r->inner);
	archive_read_free(r->outer);
	sha256_free(r->hash);
	free(r);
	return k;
}
