/* Watching a deploy to its end: deploy, rollback and scale all run as one. */
#pragma once
#include "cli/cli.h"

/* answer: what the API said to the request (202: "id", "release"). Prints numbered steps on stderr,
 * reconnects by event number without telling a step twice, and fails with ERR_DEPLOY_FAILED when
 * the deploy did. With --detach it only says what was begun. */
int follow_deploy(struct cli *c, const char *app, const json_t *answer, struct err *e) must_check;
