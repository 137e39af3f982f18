/* A terminal of the app's devpts. */
#pragma once
#include "base/err.h"

/* Both ends close-on-exec, the master non-blocking. */
int pty_open(
    unsigned cols, unsigned rows, int *ret_master, int *ret_terminal, struct err *e) must_check;
void pty_resize(int master, unsigned cols, unsigned rows);
