/* Inside the tree: the names and their index (tree.c), for who applies entries (tree_apply.c). */
#pragma once
#include "image/tree.h"
#include <sodium.h>

struct tree {
	struct tree_node *root, **bucket;
	size_t nodes, buckets, seen;
	uint32_t layer;
	uint8_t key[crypto_shorthash_KEYBYTES]; /* names are the image's choice: no flooding of one
						   bucket */
};

struct tree_node *tree_find(
    const struct tree *t, const struct tree_node *parent, const char *name, size_t len);

/* NULL: no memory. names is 1, the caller's. */
struct tree_inode *tree_inode_new(const struct tree *t, const struct tree_entry *from);
void tree_inode_put(struct tree_inode *i); /* NULL is fine */

/* Adds a name; takes over the caller's reference of the inode, also on failure. */
int tree_add(struct tree *t, struct tree_node *parent, const char *name, size_t len,
    struct tree_inode *inode, struct tree_node **ret, struct err *e) must_check;

/* A folder that no entry describes. */
int tree_add_dir(struct tree *t, struct tree_node *parent, const char *name, size_t len,
    struct tree_node **ret, struct err *e) must_check;

/* Takes away top (itself only if `whole`) and what is below, but for what `layer` or a higher one
 * put there and its folders. layer UINT32_MAX: everything. */
void tree_prune(struct tree *t, struct tree_node *top, bool whole, uint32_t layer);
