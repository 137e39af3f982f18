/* The agent's record of a machine as JSON: whole for machine.json, and the part the store gets as
 * observed/. */
#pragma once
#include "core/machine.h"

json_t *machine_record_format(const struct machine_record *r); /* NULL on no memory */
int machine_record_parse(const json_t *j, struct machine_record *ret, struct err *e) must_check;

/* observed/<host>/<machine>; pid: the monitor's, 0 if none; guest_boot: the boot id of the guest,
 * or "". */
json_t *machine_observed_format(
    const struct machine_record *r, const char *app, int32_t pid, const char *guest_boot);
