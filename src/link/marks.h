/* What a guest was caught at. Kept in the state that the agent reads; a few kinds, counted, never a
 * list that a guest could grow. */
#pragma once
#include "base/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum mark { MARK_FLOOD, MARK_PROTOCOL, MARK_LIE, MARK_MAX };

struct marks {
	struct {
		uint64_t count, at_ms;
		char text[160];
	} mark[MARK_MAX];
};

/* True when it is the first of its kind for a minute (worth a line in the log). */
bool marks_add(struct marks *m, enum mark which, const char *text);
json_t *marks_json(const struct marks *m); /* [{"mark","count","at","text"}] */
