/* An app's file: fly.toml (or ward.toml, in the app's folder). Every key that flyctl knows is known
 * here; one that Ward cannot honour yet is refused by name and line (ERR_UNSUPPORTED), one that
 * nobody knows too (ERR_UNKNOWN_KEY), none is ignored. What comes out is what the deploy API takes:
 * for each process group a Machines API config. */
#pragma once
#include "base/json.h"

enum {
	FLY_GROUPS_MAX = 16,
	FLY_SECTIONS_MAX = 32,
	FLY_FILE_MAX = 72 * 1024 /* 96 KiB as base64 */
};

struct fly_config {
	char app[64];            /* "" when the file names none */
	char primary_region[32]; /* "" when not given */
	char image[384];         /* build.image; "" when not given */
	char strategy[16];       /* "rolling" or "immediate" */
	int64_t wait_timeout_ms;
	json_t *groups;   /* [{"name","config"}], in the file's order; config has no image */
	json_t *warnings; /* sentences: values that were adjusted */
};

/* How a local_path of [[files]] is read; the library itself opens nothing. */
struct fly_files {
	int (*read)(
	    void *arg, const char *path, size_t max, char **ret, size_t *ret_len, struct err *e);
	void *arg;
};

/* files may be NULL: then local_path is an error. */
int fly_config_parse(const char *text, size_t len, const struct fly_files *files,
    struct fly_config *ret, struct err *e) must_check;
void fly_config_done(struct fly_config *c);

/* The body of POST /v1/apps/{app}/deploys with this image in every group:
 * {"strategy","wait_timeout_ms","groups":[…]}. */
int fly_config_deploy_body(
    const struct fly_config *c, const char *image, json_t **ret, struct err *e) must_check;

static inline void cleanup_fly_config_(struct fly_config *c)
{
	fly_config_done(c);
}
#define cleanup_fly_config __attribute__((cleanup(cleanup_fly_config_)))
