#pragma once
#include "edge/supervisor.h"

/* Answers GET /v1/status on the passed socket "edge" (none passed: nothing to do). */
int status_start(struct supervisor *s, struct err *e) must_check;
