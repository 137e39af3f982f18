/* From a reference to blobs: the manifest, its configuration and its layers are below
 * <lib>/blobs/sha256, each checked by its digest. */
#pragma once
#include "image/serve.h"

enum { FETCH_INSECURE_MAX = 16 };

struct fetch {
	int home, blobs; /* folders: <lib>/blobs and sha256 in it */
	const char
	    *home_path;       /* absolute: skopeo writes by name, below a folder of its own in it */
	const char *skopeo;   /* the program */
	const char *authfile; /* registries' credentials, or NULL */
	const char *insecure[FETCH_INSECURE_MAX]; /* registries reached over plain HTTP: the
						     platform's file names them, nobody who asks */
	size_t ninsecure;
};

int fetch(const struct fetch *f, int conn, const struct image_ask *ask, char ret_digest[65],
    struct err *e) must_check;

/* Removes what a killed fetch left. */
int fetch_clean(const struct fetch *f, struct err *e) must_check;
