/* A machine as the Machines API shows it, made from what is desired and what is observed. */
#pragma once
#include "api/api.h"

/* The state to show: what its host observed, except where an order the host has not followed yet
 * makes that misleading. */
const char *machine_shown_state(const struct machine_ref *m);

/* Is it in this state for this version? instance: "" for any. */
bool machine_is_at(const struct machine_ref *m, const char *state, const char *instance);

enum machine_detail { MACHINE_WHOLE, MACHINE_SUMMARY /* no environment, no files */ };
json_t *machine_show(struct call *c, const struct machine_ref *m, enum machine_detail detail);

/* {"registry","repository","tag","digest","labels"} from a reference and the digest it came to. */
json_t *image_ref_show(const char *image, const char *digest);
