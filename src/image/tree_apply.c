/* What an entry of a layer does to the tree: paths, whiteouts, hard links. */
#include "base/str.h"
#include "image/tree_store.h"

struct walk {
	bool create;    /* make missing folders */
	unsigned links; /* symbolic links left to follow */
	unsigned steps; /* names left to look at, in all links together */
};

static int into(
    struct tree *t, struct walk *w, struct tree_node **dir, const char *path, struct err *e);

/* One name on the way: enters the folder, through a link of this tree if it is one. ret -ENOENT:
 * not there. */
static int step(struct tree *t, struct walk *w, struct tree_node **dir, const char *name,
    size_t len, struct err *e)
{
	if (len > TREE_NAME_MAX)
		return err_set(e, ERR_IMAGE, "a file name of more than %d bytes", TREE_NAME_MAX);
	if (!w->steps--)
		return err_set(e, ERR_IMAGE, "a path that leads through too many folders");
	struct tree_node *n = tree_find(t, *dir, name, len);
	if (!n && !w->create)
		return -ENOENT;
	if (!n)
		return tree_add_dir(t, *dir, name, len, dir, e);
	if (n->inode->type == TREE_DIR) {
		*dir = n;
		return 0;
	}
	if (n->inode->type != TREE_SYMLINK)
		return err_set(e, ERR_IMAGE, "\"%.100s\" is used as a folder and is none", n->name);
	if (!w->links--)
		return err_set(
		    e, ERR_IMAGE, "more than %d symbolic links on one path", TREE_LINKS_MAX);
	return into(t, w, dir, n->inode->link, e);
}

/* A link's text, from *dir on: "/" is the root of this tree, and ".." ends there. Recursion is
 * bounded by w->links. */
static int into(
    struct tree *t, struct walk *w, struct tree_node **dir, const char *path, struct err *e)
{
	if (*path == '/')
		*dir = t->root;
	for (;;) {
		path += strspn(path, "/");
		size_t len = strcspn(path, "/");
		if (!len)
			return 0;
		if (len == 2 && !memcmp(path, "..", 2)) {
			*dir = (*dir)->parent ? (*dir)->parent : t->root;
		} else if (len != 1 || *path != '.') {
			int r = step(t, w, dir, path, len, e);
			if (r < 0)
				return r;
		}
		path += len;
	}
}

/* The folder of an entry's path, and its last name; *ret_len 0: the path is the root itself. An
 * entry's own path may have no "..". */
static int locate(struct tree *t, const char *path, bool create, struct tree_node **ret_dir,
    const char **ret_name, size_t *ret_len, struct err *e)
{
	struct walk w = { create, TREE_LINKS_MAX, TREE_PATH_MAX };
	struct tree_node *dir = t->root;
	const char *name = "";
	size_t name_len = 0;
	if (strlen(path) > TREE_PATH_MAX)
		return err_set(e, ERR_IMAGE, "a path of more than %d bytes", TREE_PATH_MAX);
	for (;;) {
		path += strspn(path, "/");
		size_t len = strcspn(path, "/");
		if (len == 2 && !memcmp(path, "..", 2))
			return err_set(e, ERR_IMAGE, "a path with \"..\" in it");
		if (len != 1 || *path != '.') {
			int r = name_len && len ? step(t, &w, &dir, name, name_len, e) : 0;
			if (r < 0)
				return r;
			if (!len)
				break;
			name = path;
			name_len = len;
		}
		path += len;
	}
	if (name_len > TREE_NAME_MAX)
		return err_set(e, ERR_IMAGE, "a file name of more than %d bytes", TREE_NAME_MAX);
	*ret_dir = dir;
	*ret_name = name;
	*ret_len = name_len;
	return 0;
}

static int whiteout(struct tree *t, const char *path, struct err *e)
{
	static const char mark[] = ".wh.", opaque[] = ".wh..wh..opq", reserved[] = ".wh..wh.";
	struct tree_node *dir = t->root, *n;
	const char *name = "";
	size_t len = 0;
	int r = locate(t, path, false, &dir, &name, &len, e);
	if (r == -ENOENT)
		return 0; /* nothing to take away */
	if (r < 0)
		return r;
	if (len == strlen(opaque) && !memcmp(name, opaque, len)) {
		tree_prune(t, dir, false, t->layer);
		return 0;
	}
	if (len >= strlen(reserved) && !memcmp(name, reserved, strlen(reserved)))
		return 0; /* another storage's bookkeeping */
	name += strlen(mark);
	len -= strlen(mark);
	if (!len || (len <= 2 && !memcmp(name, "..", len)))
		return err_set(e, ERR_IMAGE, "a whiteout of \"%.*s\"", (int)len, name);
	n = tree_find(t, dir, name, len);
	if (n)
		tree_prune(t, n, true, t->layer);
	return 0;
}

static bool is_whiteout(const char *path)
{
	size_t len = strlen(path);
	while (len && path[len - 1] == '/')
		len--;
	while (len && path[len - 1] != '/')
		len--;
	return str_starts(path + len, ".wh.");
}

/* The inode that the entry gives: a new one, or that of the file a hard link names. */
static int inode_of(
    struct tree *t, const struct tree_entry *entry, struct tree_inode **ret, struct err *e)
{
	if (entry->type != TREE_HARDLINK) {
		*ret = tree_inode_new(t, entry);
		return *ret ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for the image's files");
	}
	struct tree_node *dir = t->root, *n = NULL;
	const char *name = "";
	size_t len = 0;
	int r = locate(t, entry->link, false, &dir, &name, &len, e);
	if (r == 0 && len)
		n = tree_find(t, dir, name, len);
	if (r < 0 && r != -ENOENT)
		return r;
	if (!n || n->inode->type == TREE_DIR)
		return err_set(e, ERR_IMAGE,
		    "a hard link to \"%.200s\", which is no file of the image", entry->link);
	n->inode->names++;
	*ret = n->inode;
	return 0;
}

static int place(struct tree *t, const struct tree_entry *entry, struct err *e)
{
	struct tree_node *dir = t->root, *n = NULL;
	struct tree_inode *inode = NULL;
	const char *name = "";
	size_t len = 0;
	int r = locate(t, entry->path, true, &dir, &name, &len, e);
	if (r == 0 && !len && entry->type != TREE_DIR)
		r = err_set(e, ERR_IMAGE, "its root is not a folder");
	if (r == 0)
		r = inode_of(t, entry, &inode, e);
	if (r < 0 || !inode)
		return r;
	n = len ? tree_find(t, dir, name, len) : t->root;
	if (n && n->inode->type == TREE_DIR && inode->type == TREE_DIR) {
		tree_inode_put(n->inode);
		n->inode = inode;
		n->layer = t->layer;
		return 0;
	}
	if (n)
		tree_prune(t, n, true, UINT32_MAX);
	return tree_add(t, dir, name, len, inode, &n, e);
}

int tree_apply(struct tree *t, const struct tree_entry *entry, struct err *e)
{
	if (++t->seen > TREE_ENTRIES_MAX)
		return err_set(e, ERR_IMAGE, "more than %d entries", TREE_ENTRIES_MAX);
	if (entry->type == TREE_SYMLINK &&
	    (!entry->link[0] || strlen(entry->link) >= TREE_PATH_MAX))
		return err_set(e, ERR_IMAGE, "a symbolic link of %zu bytes", strlen(entry->link));
	return is_whiteout(entry->path) ? whiteout(t, entry->path, e) : place(t, entry, e);
}
