/* The calls that the host may make: the table of the control port. */
#pragma once
#include "guest/control.h"

extern const struct route calls_table[];
extern const size_t calls_count;

void calls_init(const char *boot_id, const char *guest_key_hex);

/* exec.c, stats.c, ps.c */
void call_exec(struct call *c);
void call_stats(struct call *c);
void call_ps(struct call *c);
