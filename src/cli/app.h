/* Which app and which machine a command is about, and the app's file. */
#pragma once
#include "cli/cli.h"
#include "proto/fly_config.h"

/* --app, then WARD_APP or FLY_APP, then the `app` of the app's file. */
int app_name(struct cli *c, char ret[64], struct err *e) must_check;
/* The same, but ret is empty where nothing names an app. */
int app_name_maybe(struct cli *c, char ret[64], struct err *e) must_check;

/* --config, else fly.toml, else ward.toml here. Errors begin with the file's name; warnings are
 * said. -ENOENT: there is none. */
int app_file(struct cli *c, struct fly_config *ret, struct err *e) must_check;

/* "/v1/apps/APP/machines/ID" into path, which the caller has initialised. Without --app or WARD_APP
 * the machine is looked for in all apps. */
int machine_path(struct cli *c, const char *id, struct buf *path, struct err *e) must_check;
/* The app's machines: a JSON array, caller decrefs. */
int app_machines(struct cli *c, const char *app, json_t **ret, struct err *e) must_check;
/* All apps: a JSON array of {"name",…}, caller decrefs. */
int app_list(struct cli *c, json_t **ret, struct err *e) must_check;

/* Asks on a terminal; without one, or with --yes: true only with --yes. */
int app_confirm(const struct cli *c, struct err *e, const char *fmt, ...) must_check
    printf_like(3, 4);
