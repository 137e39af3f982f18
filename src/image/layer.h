/* One layer's tar, read to its end: uncompressed (gzip, zstd or neither), its entries checked one
 * by one, its SHA-256 compared. */
#pragma once
#include "image/tree.h"

/* What all layers of an image together may come to. */
struct layer_budget {
	uint64_t compressed, plain; /* bytes read so far */
	uint64_t content;           /* of files, as they say */
	uint64_t devices;           /* nodes in /dev that were left out */
};

#define LAYER_PLAIN_MAX (16ULL << 30)
enum { LAYER_RATIO_MAX = 200 }; /* above the first GiB */
#define LAYER_RATIO_FROM (1ULL << 30)

struct layer_source {
	int fd;              /* read from its beginning */
	const char *diff_id; /* 64 hex digits: what the uncompressed bytes must hash to */
	unsigned number;     /* in messages, from 1 */
};

struct layer_sink {
	/* Each entry. Non-negative: *want says whether to give the content (files only). */
	int (*entry)(void *arg, const struct tree_entry *entry, bool *want, struct err *e);
	/* The content of a wanted file in order, holes filled with zeros; exactly entry->size bytes
	 * come in all. */
	int (*data)(void *arg, const void *p, size_t n, struct err *e);
	void *arg;
};

/* Must be called once before confinement: OpenSSL and the C library load here what they need later.
 */
int layer_prepare(struct err *e) must_check;

int layer_read(const struct layer_source *src, struct layer_budget *budget,
    const struct layer_sink *sink, struct err *e) must_check;
