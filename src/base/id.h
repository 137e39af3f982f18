/* Identifiers: random, never reused (design section 17). */
#pragma once
#include "base/util.h"

enum { MACHINE_ID_LEN = 14, ULID_LEN = 26, APP_ID_LEN = 16 };

void id_hex(char *dst /* digits+1 */, size_t digits); /* random lower-case hex */
void id_machine(char dst[MACHINE_ID_LEN + 1]);
void id_app(char dst[APP_ID_LEN + 1]); /* 16 letters of [a-z0-9] without look-alikes */
void id_ulid(char dst[ULID_LEN + 1], uint64_t wall_ms); /* sorts by time */
bool id_is_machine(const char *s);
