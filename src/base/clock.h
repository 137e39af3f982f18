/* Time. Durations by the monotonic clock, restart windows by boot time, the wall clock only to
 * show, for certificates, tokens and schedules (design rule 9). Decisions in src/core are given the
 * time, they never ask. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

enum { CLOCK_RFC3339_SIZE = sizeof("2026-01-02T03:04:05.678901Z") };

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
uint64_t clock_boot_ms(void); /* counts through suspend */
uint64_t clock_wall_ms(void); /* since 1970 */
uint64_t clock_wall_us(void);

/* RFC 3339, UTC, microseconds: "2026-01-02T03:04:05.678901Z". parse: also without a fraction;
 * strict. */
void clock_format_rfc3339(char dst[CLOCK_RFC3339_SIZE], uint64_t wall_us);
int clock_parse_rfc3339(const char *s, uint64_t *ret_wall_us) must_check;
