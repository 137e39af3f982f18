/* A live command in a machine: frames of proto/exec_frames.h over an upgraded connection, the
 * terminal raw meanwhile. */
#pragma once
#include "cli/api.h"

/* machine_path: "/v1/apps/APP/machines/ID". Returns the exit code to end with (0..255), or a
 * negative errno. */
int session_run(struct api *api, const char *machine_path, const json_t *words, bool tty,
    struct err *e) must_check;
