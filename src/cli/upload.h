/* An image given on the command line: a file or folder is uploaded, blob by missing blob; anything
 * else is a registry reference. */
#pragma once
#include "cli/cli.h"

/* What the machines' config names: "sha256:…" of an uploaded manifest, or the reference as it is.
 * opened: no upload is needed for a reference. */
bool upload_is_file(const char *image);
int upload_image(struct cli *c, const char *image, char ret[400], struct err *e) must_check;
/* Only looks whether the file is an image that could be uploaded. */
int upload_check(const char *image, struct err *e) must_check;
