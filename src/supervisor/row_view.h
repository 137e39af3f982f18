/* The view of the file system that a daemon's row describes. In the child, as root. */
#pragma once
#include "supervisor/table.h"

int row_view(const struct settings *s, enum row row, struct err *e) must_check;
