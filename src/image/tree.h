/* The merged root file system of an image, as names in memory: layers are applied to it one after
 * the other, and nothing is ever made on disk, so no path can lead out of it. Contents stay in
 * their layers: an inode says which entry of which layer holds them. */
#pragma once
#include "base/err.h"
#include "base/util.h"

enum {
	TREE_ENTRIES_MAX = 1000000, /* seen in all layers together */
	TREE_PATH_MAX = 4096,       /* from the root on, its "/" counted */
	TREE_NAME_MAX = 255,
	TREE_DEPTH_MAX = 256,
	TREE_LINKS_MAX = 40, /* symbolic links followed for one path, as the kernel has it */
	TREE_XATTRS_MAX = 64,
	TREE_XATTR_SIZE_MAX = 65536,
};

enum tree_type { TREE_FILE = 1, TREE_DIR, TREE_SYMLINK, TREE_FIFO, TREE_HARDLINK };

struct xattr {
	char *name;
	void *value;
	size_t size;
};

struct xattrs {
	size_t count;
	struct xattr list[TREE_XATTRS_MAX];
};

/* One entry of a layer. Strings and xattrs stay the caller's. */
struct tree_entry {
	const char *path, *link; /* link: a symbolic link's text, or the path a hard link names */
	enum tree_type type;
	uint32_t mode, uid, gid; /* mode: permission, setuid, setgid and sticky bits */
	uint32_t mtime;
	uint64_t size;
	uint64_t ordinal;            /* which entry of its layer */
	const struct xattrs *xattrs; /* NULL: none */
};

struct tree_node;

struct tree_inode {
	enum tree_type type;
	uint32_t mode, uid, gid, mtime;
	uint64_t size, ordinal;
	uint32_t layer;
	uint32_t names;                /* how many nodes have it */
	const struct tree_node *first; /* for whoever writes the tree out: its first name */
	char *link;
	struct xattr *xattr;
	size_t xattr_count;
};

struct tree_node {
	struct tree_node *parent, *child, *next, *prev, *chain;
	struct tree_inode *inode;
	uint32_t layer; /* the last that said something about this name */
	uint16_t depth, path_len;
	char name[];
};

struct tree;

int tree_new(struct tree **ret, struct err *e) must_check;
void tree_free(struct tree *t);

/* Says which layer the entries that follow are of; must grow. */
void tree_begin_layer(struct tree *t, uint32_t layer);

/* Applies one entry: whiteouts (".wh.NAME", ".wh..wh..opq") take away what lower layers have, all
 * else is put in place. */
int tree_apply(struct tree *t, const struct tree_entry *entry, struct err *e) must_check;

struct tree_node *tree_root(struct tree *t);
size_t tree_count(const struct tree *t); /* nodes, with the root */

/* "./a/b", or "./" for the root. dst holds TREE_PATH_MAX + 3. */
void tree_path(char dst[TREE_PATH_MAX + 3], const struct tree_node *n);

/* The next node of a walk, parents before children; NULL at the end. Start with the root itself. */
struct tree_node *tree_next(struct tree_node *n);
