/* The polite end of a machine when the whole platform stops: its link is asked to stop the app, as
 * the agent would. */
#pragma once
#include "base/err.h"
#include "base/util.h"
#include <sys/types.h>

enum { FAREWELL_MS = 12000 }; /* what the app gets before its cage is killed */

/* *ret_fd is to be kept until the machine has ended: a caller who leaves takes the question back.
 */
int farewell_ask(
    const char *run, const char *machine, uid_t uid, int *ret_fd, struct err *e) must_check;
