/* What a machine's link tells (JSON lines of GET /v1/logs) turned into the lines that are kept and
 * served. The link runs as the machine's own user: nothing it says is believed beyond that
 * machine's lines. */
#pragma once
#include "base/buf.h"
#include "base/id.h"

/* Who a machine is, from the link's state. */
struct who {
	char machine[MACHINE_ID_LEN + 1];
	char app[64], app_id[64], region[64];
};

struct taken {
	uint64_t first_n, last_n, at_us; /* of the lines taken; 0 when none was */
	uint32_t lines;
};

/* The "who" of GET /v1/state for this machine. -ENODATA: it does not know yet. */
int who_parse(
    const char *machine, const char *text, size_t len, struct who *ret, struct err *e) must_check;

/* Appends to *out one kept line (JSON without its cursor, newline) for each line after `after`;
 * repetitions are dropped. Stops before max bytes: the rest is asked for again. Numbers that do not
 * grow, or a line of another form, are an error; what came before it is taken. */
int lines_take(const char *text, size_t len, const struct who *who, uint64_t after, size_t max,
    struct buf *out, struct taken *ret, struct err *e) must_check;
