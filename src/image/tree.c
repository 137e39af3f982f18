#include "base/str.h"
#include "image/tree_store.h"

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

struct tree_node *tree_find(
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

void tree_inode_put(struct tree_inode *i)
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

struct tree_inode *tree_inode_new(const struct tree *t, const struct tree_entry *from)
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
		tree_inode_put(i);
		return NULL;
	}
	return i;
}

int tree_add(struct tree *t, struct tree_node *parent, const char *name, size_t len,
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
		tree_inode_put(inode);
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
	tree_inode_put(n->inode);
	t->nodes--;
	free(n);
}

/* Not recursive: the depth is bounded, a stack's cost is not. */
void tree_prune(struct tree *t, struct tree_node *top, bool whole, uint32_t layer)
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

int tree_add_dir(struct tree *t, struct tree_node *parent, const char *name, size_t len,
    struct tree_node **ret, struct err *e)
{
	const struct tree_entry plain = { .type = TREE_DIR, .mode = 0755 };
	return tree_add(t, parent, name, len, tree_inode_new(t, &plain), ret, e);
}

int tree_new(struct tree **ret, struct err *e)
{
	struct tree *t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(e, ERR_NO_MEMORY, "no memory for the image's files");
	t->buckets = 4096;
	t->bucket = calloc(t->buckets, sizeof(struct tree_node *));
	crypto_shorthash_keygen(t->key);
	int r = t->bucket ? tree_add_dir(t, NULL, "", 0, &t->root, e)
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
		tree_prune(t, t->root, true, UINT32_MAX);
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
