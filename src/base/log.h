/* A daemon's own log: one line an event on stderr, "<level> program: text", which wardd keeps in
 * bounded files. Library code never logs. Never a secret, a body, an environment value. */
#pragma once
#include "base/err.h"

void log_init(const char *program);
void log_error(const char *fmt, ...) printf_like(1, 2);
void log_warn(const char *fmt, ...) printf_like(1, 2);
void log_info(const char *fmt, ...) printf_like(1, 2);
void log_debug(const char *fmt, ...) printf_like(1, 2); /* only where WARD_DEBUG is set */

/* "doing: text [code]; next: step" */
void log_err(const struct err *e, const char *doing, ...) printf_like(2, 3);
