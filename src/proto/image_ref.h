/* What a person may write for an image, taken apart as container tools do:
 * [docker://][REGISTRY/]NAME[:TAG][@sha256:HEX], or sha256:HEX for an image whose blobs were
 * uploaded. */
#pragma once
#include "base/buf.h"

enum image_ref_kind { IMAGE_REF_REGISTRY = 1, IMAGE_REF_UPLOADED };

struct image_ref {
	enum image_ref_kind kind;
	char registry[256];   /* "docker.io", "localhost:5000"; empty when uploaded */
	char repository[256]; /* "library/nginx" */
	char tag[129];        /* empty when only a digest was given; "latest" when neither */
	char digest[65];      /* 64 hex digits, or empty */
};

int image_ref_parse(struct image_ref *ref, const char *text, struct err *e) must_check;

/* "registry/repository:tag@sha256:hex", what is not there left out; "sha256:hex" when uploaded.
 * -EMSGSIZE if dst is too small. */
int image_ref_format(char *dst, size_t size, const struct image_ref *ref) must_check;

/* "sha256:" and 64 lower-case hex digits -> the digits. */
bool image_digest_parse(char dst[65], const char *text);
