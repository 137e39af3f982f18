/* Reaching into a machine by its ward-link's socket. */
#pragma once
#include "api/api.h"

/* The socket of a machine that runs; false: answered. */
bool inside_socket(struct call *c, const struct machine_ref *m, char *dst, size_t size);

/* A command line into words; NULL when there are none, or a quote does not end. */
json_t *inside_split(const char *line);
