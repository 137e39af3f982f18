/* Any bytes as a layer, by libarchive and the tree: no crash, and every name that comes out is one
 * of a tree. */
#include "base/str.h"
#include "image/layer.h"
#include <sys/mman.h>

static int put(void *arg, const struct tree_entry *entry, bool *want, struct err *e)
{
	*want = entry->size < 4096;
	return tree_apply(arg, entry, e);
}

static int data(void *arg, const void *p, size_t n, struct err *e)
{
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static int fd = -1;
	struct err e = { 0 };
	struct tree *t = NULL;
	struct layer_budget budget = { 0 };
	if (fd < 0 && (layer_prepare(&e) < 0 || (fd = memfd_create("layer", 0)) < 0))
		abort();
	if (ftruncate(fd, 0) || pwrite(fd, bytes, size, 0) != (ssize_t)size || tree_new(&t, &e) < 0)
		abort();
	const struct layer_source src = { fd,
		"0000000000000000000000000000000000000000000000000000000000000000", 1 };
	const struct layer_sink sink = { put, data, t };
	if (layer_read(&src, &budget, &sink, &e) == 0) /* no bytes hash to zero */
		abort();
	if (!e.code || !*e.text)
		abort();
	for (struct tree_node *n = tree_root(t); n; n = tree_next(n)) {
		char path[TREE_PATH_MAX + 3];
		tree_path(path, n);
		if (!str_starts(path, "./") || strstr(path, "/../") || str_ends(path, "/..") ||
		    strchr(n->name, '/'))
			abort();
	}
	tree_free(t);
	return 0;
}
