/* Twice over the layers: first their names, from which the merged tree comes; then the contents
 * that are still to be seen, in the order of the layers, so that nothing is kept on disk in
 * between. */
#include "image/merge.h"
#include "base/str.h"
#include <archive.h>
#include <archive_entry.h>

struct work {
	struct merge *m;
	struct tree *tree;
	struct archive *out;
	struct archive_entry *entry;
	struct tree_inode **file; /* those to give, by layer and ordinal */
	size_t files, at;
	uint32_t layer;
	uint64_t before; /* bytes read by the pass before this one */
	struct layer_budget budget;
	char path[TREE_PATH_MAX + 3], first[TREE_PATH_MAX + 3];
};

static void tell(struct work *w)
{
	if (w->m->progress)
		w->m->progress(w->m->arg, w->before + w->budget.compressed, 2 * w->m->total);
}

static int put_name(void *arg, const struct tree_entry *entry, bool *want, struct err *e)
{
	struct work *w = arg;
	*want = false;
	tell(w);
	return tree_apply(w->tree, entry, e);
}

static int no_data(void *arg, const void *p, size_t n, struct err *e)
{
	return err_set(e, ERR_INTERNAL, "content that nobody asked for");
}

static int by_place(const void *a, const void *b)
{
	const struct tree_inode *x = *(struct tree_inode *const *)a,
				*y = *(struct tree_inode *const *)b;
	if (x->layer != y->layer)
		return x->layer < y->layer ? -1 : 1;
	return x->ordinal < y->ordinal ? -1 : x->ordinal > y->ordinal;
}

static int cannot_write(struct work *w, struct err *e)
{
	return err_set(
	    e, ERR_SYSTEM, "cannot write the root disk: %s", archive_error_string(w->out));
}

static int put_header(
    struct work *w, const struct tree_node *n, const char *hardlink, struct err *e)
{
	static const mode_t kind[] = { [TREE_FILE] = AE_IFREG,
		[TREE_DIR] = AE_IFDIR,
		[TREE_SYMLINK] = AE_IFLNK,
		[TREE_FIFO] = AE_IFIFO };
	const struct tree_inode *i = n->inode;
	struct archive_entry *a = w->entry;
	archive_entry_clear(a);
	tree_path(w->path, n);
	archive_entry_set_pathname(a, w->path);
	archive_entry_set_filetype(a, kind[i->type]);
	archive_entry_set_perm(a, i->mode);
	archive_entry_set_uid(a, i->uid);
	archive_entry_set_gid(a, i->gid);
	archive_entry_set_mtime(a, i->mtime, 0);
	archive_entry_set_size(a, i->type == TREE_FILE && !hardlink ? (la_int64_t)i->size : 0);
	if (i->type == TREE_SYMLINK)
		archive_entry_set_symlink(a, i->link);
	if (hardlink)
		archive_entry_set_hardlink(a, hardlink);
	for (size_t k = 0; !hardlink && k < i->xattr_count; k++)
		archive_entry_xattr_add_entry(
		    a, i->xattr[k].name, i->xattr[k].value, i->xattr[k].size);
	/* a warning would mean that something was lost on the way: as good as an error here */
	return archive_write_header(w->out, a) == ARCHIVE_OK ? 0 : cannot_write(w, e);
}

/* Folders, symbolic links and pipes; and finds which contents are needed. */
static int put_names(struct work *w, struct err *e)
{
	w->file = calloc(tree_count(w->tree), sizeof(struct tree_inode *));
	if (!w->file)
		return err_set(e, ERR_NO_MEMORY, "no memory for %zu files", tree_count(w->tree));
	for (struct tree_node *n = tree_root(w->tree); n; n = tree_next(n)) {
		struct tree_inode *i = n->inode;
		int r = i->type != TREE_FILE ? put_header(w, n, NULL, e) : 0;
		if (r < 0)
			return r;
		if (i->type == TREE_FILE && !i->first) {
			i->first = n;
			w->file[w->files++] = i;
		}
	}
	qsort(w->file, w->files, sizeof(struct tree_inode *), by_place);
	return 0;
}

static int put_file(void *arg, const struct tree_entry *entry, bool *want, struct err *e)
{
	struct work *w = arg;
	struct tree_inode *i = w->at < w->files ? w->file[w->at] : NULL;
	*want = i && i->layer == w->layer && i->ordinal == entry->ordinal;
	if (!*want)
		return 0;
	if (entry->type != TREE_FILE || entry->size != i->size)
		return err_set(e, ERR_IMAGE, "changed while it was read");
	w->at++;
	return put_header(w, i->first, NULL, e);
}

static int put_data(void *arg, const void *p, size_t n, struct err *e)
{
	struct work *w = arg;
	const char *c = p;
	tell(w);
	while (n) {
		la_ssize_t k = archive_write_data(w->out, c, n);
		if (k <= 0)
			return cannot_write(w, e);
		c += k;
		n -= (size_t)k;
	}
	return 0;
}

static int put_hard_links(struct work *w, struct err *e)
{
	for (struct tree_node *n = tree_root(w->tree); n; n = tree_next(n)) {
		if (n->inode->type != TREE_FILE || n->inode->first == n)
			continue;
		tree_path(w->first, n->inode->first);
		int r = put_header(w, n, w->first, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int pass(struct work *w, const struct layer_sink *sink, uint64_t before, struct err *e)
{
	int r = 0;
	w->budget = (struct layer_budget){ 0 };
	w->before = before;
	for (size_t i = 0; r == 0 && i < w->m->layers; i++) {
		w->layer = (uint32_t)i;
		tree_begin_layer(w->tree, w->layer);
		r = layer_read(&w->m->layer[i], &w->budget, sink, e);
		tell(w);
	}
	return r;
}

static int open_out(struct work *w, struct err *e)
{
	w->out = archive_write_new();
	w->entry = archive_entry_new();
	if (!w->out || !w->entry)
		return err_set(e, ERR_NO_MEMORY, "no memory to write a root disk");
	/* one header for extended attributes, the one that keeps their bytes; and only where a
	 * plain one does not suffice */
	if (archive_write_set_format_pax_restricted(w->out) ||
	    archive_write_set_options(w->out, "xattrheader=SCHILY") ||
	    archive_write_set_bytes_per_block(w->out, 65536) ||
	    archive_write_open_fd(w->out, w->m->out))
		return cannot_write(w, e);
	return 0;
}

static int run(struct work *w, struct err *e)
{
	const struct layer_sink names = { put_name, no_data, w },
				contents = { put_file, put_data, w };
	int r = tree_new(&w->tree, e);
	if (r == 0)
		r = pass(w, &names, 0, e);
	if (r == 0)
		r = open_out(w, e);
	if (r == 0)
		r = put_names(w, e);
	if (r == 0)
		r = pass(w, &contents, w->m->total, e);
	if (r == 0 && w->at != w->files)
		r = err_set(e, ERR_IMAGE, "changed while it was read");
	if (r == 0)
		r = put_hard_links(w, e);
	if (r == 0 && archive_write_close(w->out) != ARCHIVE_OK)
		r = cannot_write(w, e);
	return r;
}

int merge_layers(struct merge *m, struct err *e)
{
	struct work *w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(e, ERR_NO_MEMORY, "no memory to merge layers");
	w->m = m;
	m->total = 0;
	for (size_t i = 0; i < m->layers; i++) {
		off_t size = lseek(m->layer[i].fd, 0, SEEK_END);
		m->total += size > 0 ? (uint64_t)size : 0;
	}
	int r = run(w, e);
	if (r == 0) {
		m->files = tree_count(w->tree);
		m->content = w->budget.content;
		m->devices = w->budget.devices;
	} else if (w->out) {
		archive_write_fail(
		    w->out); /* no end-of-archive: the reader must see that it was cut */
	}
	archive_entry_free(w->entry);
	archive_write_free(w->out);
	tree_free(w->tree);
	free(w->file);
	free(w);
	return r;
}
