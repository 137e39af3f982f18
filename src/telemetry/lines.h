/* What a machine's link tells (JSON lines of GET /v1/logs) turned into the lines that are kept and
 * served. The link runs as the machine's own user: nothing it says is believed beyond that
 * machine's lines. */
#pragma once
#include "base/buf.h"
#include "proto/owners.h"

struct taken {
	uint64_t first_n, last_n, at_us; /* of the lines taken; 0 when none was */
	uint32_t lines;
};

/* Appends to *out one kept line (JSON without its cursor, newline) for each line after `after`;
 * repetitions are dropped. Stops before max bytes: the rest is asked for again. Numbers that do not
 * grow, or a line of another form, are an error; what came before it is taken. */
int lines_take(const char *text, size_t len, const struct owner *who, uint64_t after, size_t max,
    struct buf *out, struct taken *ret, struct err *e) must_check;
