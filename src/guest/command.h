/* What to run: the rules of OCI images with the Machines API's overrides, and the environment.
 * Pure. */
#pragma once
#include "guest/runconf.h"

struct command {
	char **argv; /* NULL-terminated */
	char **env;  /* "K=V", NULL-terminated; no name twice */
};

/* init.exec replaces all. init.entrypoint replaces the image's, and its cmd counts no more;
 * init.cmd replaces the image's cmd. Environment: PATH (if nobody gives one), the image's, then the
 * config's. HOME is set by the caller of exec, once the user is known. */
int command_plan(const struct runconf *c, struct command *ret, struct err *e) must_check;
void command_done(struct command *c);

/* Sets or replaces one variable in a NULL-terminated list; the list may move. False: no memory. */
bool env_set(char ***env, const char *name, const char *value);
const char *env_get(char *const *env, const char *name); /* NULL: absent */
char **env_copy(char *const *env);                       /* NULL: no memory */
void strv_free(char **v);
