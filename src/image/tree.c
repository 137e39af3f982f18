#include "image/tree.h"
#include "base/str.h"
#include <sodium.h>

struct tree {
	struct tree_node *root, **bucket;
	size_t nodes, buckets, seen;
	uint32_t layer;
	uint8_t key[crypto_shorthash_KEYBYTES]; /* names are the image's choice: no flooding of one
						   bucket */
};

static size_t hash(
    const struct tree *t, const struct tree_node *parent, const char *name, size_t len)
{
	const uintptr_t id = (uintptr_t)parent;
	uint8_t in[sizeof(id) + TREE_NAME_MAX];
	uint64_t out;
	_Static_assert(sizeof(out) == crypto_shorthash_BYTES, "the hash fits");
	memcpy(in, &id, sizeof(id));
	memcpy(in + sizeof(id), name, len);
	crypto_shorthash((uint8_t *)&out, in, sizeof(id) + len, t->key);
	return out & (t->buckets - 1);
}

static struct tree_node *find(
    const struct tree *t, const struct tree_node *parent, const char *name, size_t len)
{
	struct tree_node *n = t->bucket[hash(t, parent, name, len)];
	while (n && !(n->parent == parent && strlen(n->name) == len && !memcmp(n->name, name, len)))
		n = n->chain;
	return n;
}

static int grow(struct tree *t)
{
	size_t old = t->buckets;
	struct tree_node **before = t->bucket, **now = calloc(old * 2, sizeof(struct tree_node *));
	if (!now)
		return -ENOMEM;
	t->bucket = now;
	t->buckets = old * 2;
	for (size_t i = 0; i < old; i++)
		for (struct tree_node *n = before[i], *next; n; n = next) {
			next = n->chain;
			size_t k = hash(t, n->parent, n->name, strlen(n->name));
			n->chain = now[k];
			now[k] = n;
		}
	free(before);
	return 0;
}

static void inode_put(struct tree_inode *i)
{
	if (!i || --i->names)
		return;
	for (size_t k = 0; k < i->xattr_count; k++) {
		free(i->xattr[k].name);
		free(i->xattr[k].value);
	}
	free(i->xattr);
	free(i->link);
	free(i);
}

static bool keep_xattrs(struct tree_inode *i, const struct xattrs *from)
{
	if (!from || !from->count)
		return true;
	i->xattr = calloc(from->count, sizeof(*i->xattr));
	for (size_t k = 0; i->xattr && k < from->count; k++) {
		struct xattr *to = &i->xattr[i->xattr_count++];
		to->size = from->list[k].size;
		to->name = strdup(from->list[k].name);
		to->value = malloc(MAX(to->size, 1U));
		if (!to->name || !to->value)
			return false;
		memcpy(to->value, from->list[k].value, to->size);
	}
	return i->xattr != NULL;
}

static struct tree_inode *inode_new(const struct tree *t, const struct tree_entry *from)
{
	struct tree_inode *i = calloc(1, sizeof(*i));
	if (!i)
		return NULL;
	*i = (struct tree_inode){ .type = from->type,
		.mode = from->mode & 07777,
		.uid = from->uid,
		.gid = from->gid,
		.mtime = from->mtime,
		.size = from->type == TREE_FILE ? from->size : 0,
		.ordinal = from->ordinal,
		.layer = t->layer,
		.names = 1 };
	if ((from->type == TREE_SYMLINK && !(i->link = strdup(from->link))) ||
	    !keep_xattrs(i, from->xattrs)) {
		inode_put(i);
		return NULL;
	}
	return i;
}

/* Adds a name; takes over the caller's reference of the inode, also on failure. */
static int add(struct tree *t, struct tree_node *parent, const char *name, size_t len,
    struct tree_inode *inode, struct tree_node **ret, struct err *e)
{
	struct tree_node *n = NULL;
	size_t depth = parent ? parent->depth + 1U : 0,
	       path_len = parent ? parent->path_len + 1U + len : 0;
	int r = 0;
	if (depth > TREE_DEPTH_MAX)
		r = err_set(e, ERR_IMAGE, "folders more than %d deep", TREE_DEPTH_MAX);
	else if (path_len > TREE_PATH_MAX)
		r = err_set(e, ERR_IMAGE, "a path of more than %d bytes", TREE_PATH_MAX);
	else if (!inode || (t->nodes >= t->buckets && grow(t) < 0) ||
		 !(n = calloc(1, sizeof(*n) + len + 1)))
		r = err_set(e, ERR_NO_MEMORY, "no memory for %zu files of the image", t->nodes);
	if (!n) {
		inode_put(inode);
		return r;
	}
	memcpy(n->name, name, len);
	n->parent = parent;
	n->inode = inode;
	n->layer = t->layer;
	n->depth = (uint16_t)depth;
	n->path_len = (uint16_t)path_len;
	if (parent) {
		n->next = parent->child;
		if (n->next)
			n->next->prev = n;
		parent->child = n;
	}
	size_t k = hash(t, parent, name, len);
	n->chain = t->bucket[k];
	t->bucket[k] = n;
	t->nodes++;
	*ret = n;
	return 0;
}

/* Takes away one name without children. */
static void remove_leaf(struct tree *t, struct tree_node *n)
{
	struct tree_node **at = &t->bucket[hash(t, n->parent, n->name, strlen(n->name))];
	while (*at && *at != n)
		at = &(*at)->chain;
	if (*at)
		*at = n->chain;
	if (n->prev)
		n->prev->next = n->next;
	else if (n->parent)
		n->parent->child = n->next;
	if (n->next)
		n->next->prev = n->prev;
	inode_put(n->inode);
	t->nodes--;
	free(n);
}

/* Takes away top (itself only if `whole`) and what is below, but for what `layer` or a higher one
 * put there and its folders. Not recursive: the depth is bounded, a stack's cost is not. layer
 * UINT32_MAX: everything. */
static void prune(struct tree *t, struct tree_node *top, bool whole, uint32_t layer)
{
	struct tree_node *n = top;
	while (n->child)
		n = n->child;
	for (;;) { /* children before parents */
		struct tree_node *next = n->next, *parent = n->parent;
		bool last = n == top;
		if (!n->child && n->layer < layer && (whole || !last))
			remove_leaf(t, n);
		if (last)
			return;
		if (!next) {
			n = parent;
			continue;
		}
		for (n = next; n->child;)
			n = n->child;
	}
}

static int implicit_dir(struct tree *t, struct tree_node *parent, const char *name, size_t len,
    struct tree_node **ret, struct err *e)
{
	const struct tree_entry plain = { .type = TREE_DIR, .mode = 0755 };
	return add(t, parent, name, len, inode_new(t, &plain), ret, e);
}

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
	struct tree_node *n = find(t, *dir, name, len);
	if (!n && !w->create)
		return -ENOENT;
	if (!n)
		return implicit_dir(t, *dir, name, len, dir, e);
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
		prune(t, dir, false, t->layer);
		return 0;
	}
	if (len >= strlen(reserved) && !memcmp(name, reserved, strlen(reserved)))
		return 0; /* another storage's bookkeeping */
	name += strlen(mark);
	len -= strlen(mark);
	if (!len || (len <= 2 && !memcmp(name, "..", len)))
		return err_set(e, ERR_IMAGE, "a whiteout of \"%.*s\"", (int)len, name);
	n = find(t, dir, name, len);
	if (n)
		prune(t, n, true, t->layer);
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
		*ret = inode_new(t, entry);
		return *ret ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for the image's files");
	}
	struct tree_node *dir = t->root, *n = NULL;
	const char *name = "";
	size_t len = 0;
	int r = locate(t, entry->link, false, &dir, &name, &len, e);
	if (r == 0 && len)
		n = find(t, dir, name, len);
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
	n = len ? find(t, dir, name, len) : t->root;
	if (n && n->inode->type == TREE_DIR && inode->type == TREE_DIR) {
		inode_put(n->inode);
		n->inode = inode;
		n->layer = t->layer;
		return 0;
	}
	if (n)
		prune(t, n, true, UINT32_MAX);
	return add(t, dir, name, len, inode, &n, e);
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

int tree_new(struct tree **ret, struct err *e)
{
	struct tree *t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(e, ERR_NO_MEMORY, "no memory for the image's files");
	t->buckets = 4096;
	t->bucket = calloc(t->buckets, sizeof(struct tree_node *));
	crypto_shorthash_keygen(t->key);
	int r = t->bucket ? implicit_dir(t, NULL, "", 0, &t->root, e)
			  : err_set(e, ERR_NO_MEMORY, "no memory for the image's files");
	if (r < 0) {
		tree_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	if (t->bucket && t->root)
		prune(t, t->root, true, UINT32_MAX);
	free(t->bucket);
	free(t);
}

void tree_begin_layer(struct tree *t, uint32_t layer)
{
	t->layer = layer;
}

struct tree_node *tree_root(struct tree *t)
{
	return t->root;
}

size_t tree_count(const struct tree *t)
{
	return t->nodes;
}

void tree_path(char dst[TREE_PATH_MAX + 3], const struct tree_node *n)
{
	size_t at = n->path_len + (n->parent ? 1U : 2U);
	memcpy(dst, "./", 3);
	dst[at] = 0;
	for (; n->parent; n = n->parent) {
		size_t len = strlen(n->name);
		at -= len;
		memcpy(dst + at, n->name, len);
		dst[--at] = '/';
	}
}

struct tree_node *tree_next(struct tree_node *n)
{
	if (n->child)
		return n->child;
	while (n && !n->next)
		n = n->parent;
	return n ? n->next : NULL;
}
