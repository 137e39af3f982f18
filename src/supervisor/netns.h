/* The machines' network namespace, pinned at <run>/netns, and its way out. */
#pragma once
#include "supervisor/settings.h"

int netns_path(char *dst, size_t size, const struct settings *s);
/* Makes it unless it is there; lo up, no low ports, then the uplink (ward-uplink) if the platform's
 * file has one. */
int netns_up(const struct settings *s, struct err *e) must_check;
bool netns_exists(const struct settings *s);
int netns_down(const struct settings *s, struct err *e) must_check;
