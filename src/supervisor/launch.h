/* Starts one daemon: in a child, its namespaces, its view of the file system, its fds, its user. */
#pragma once
#include "supervisor/sockets.h"

/* The child reports what fails to its own log and wardd's, and exits with 125. */
int launch(const struct settings *s, enum row row, const struct row_fds *fds, pid_t *ret_pid,
    struct err *e) must_check;

/* The cgroup of a row, "<instance>/daemons/<name>". */
void launch_cgroup(char *dst, size_t size, const struct settings *s, enum row row);
void launch_program(char *dst, size_t size, const struct settings *s, enum row row);
