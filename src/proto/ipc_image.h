/* Messages of the two halves of ward-image (SEQPACKET). fetch: <run>/image-fetch.sock, asked by
 * ward-agent (and by ward-api to store uploads). convert: <run>/image-convert.sock, asked by
 * ward-agent. Answers may take minutes: IMAGE_PROGRESS first, any number of times, then one
 * IMAGE_DONE. One question at a time for each connection. */
#pragma once
#include "base/ipc.h"

enum { IMAGE_VERSION = 1, IMAGE_REF_MAX = 384, IMAGE_DIGEST_LEN = 64 };

enum image_type {
	IMAGE_FETCH = 1, /* image_ask: makes sure manifest, config and layers of `ref` are below
			    <lib>/blobs -> digest */
	IMAGE_CONVERT,   /* image_ask with digest: makes <lib>/images/<root>.squashfs and
			    <digest>.json (config) */
	IMAGE_BLOB_PUT,  /* image_ask with digest + a readable fd: copies it into <lib>/blobs if its
			    SHA-256 fits. api only */
	IMAGE_BLOB_HAS,  /* image_ask with digest -> IMAGE_DONE, result 0 or -ENOENT. api only */
	IMAGE_PROGRESS,
	IMAGE_DONE,
};

struct image_ask {
	struct ipc_head head;
	char ref[IMAGE_REF_MAX]; /* "docker://registry/name:tag", "name@sha256:…", or "sha256:<hex>"
				    for uploaded blobs */
	char digest[IMAGE_DIGEST_LEN + 8]; /* of the manifest (or blob): 64 hex digits */
};

struct image_answer {
	struct ipc_head head;
	int32_t result;
	uint32_t code;
	uint64_t done, total; /* bytes, for IMAGE_PROGRESS; total 0: not known */
	char digest[IMAGE_DIGEST_LEN +
		    8]; /* FETCH: the manifest's; CONVERT: `root`, the name of the squashfs */
	char text[240];
};
