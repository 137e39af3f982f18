#include "base/log.h"
#include "base/clock.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *program = "ward";
static bool debug;

void log_init(const char *name)
{
	program = name;
	debug = getenv("WARD_DEBUG") != NULL;
}

static void printf_like(2, 0) line(const char *level, const char *fmt, va_list ap)
{
	char text[1400], out[1600], when[CLOCK_RFC3339_SIZE];
	vsnprintf(text, sizeof(text), fmt, ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' '; /* one event is one line, whatever a peer sent */
	clock_format_rfc3339(when, clock_wall_us());
	int n = snprintf(out, sizeof(out), "%s %s %s: %s\n", when, level, program, text);
	if (n > 0 && write(STDERR_FILENO, out, (size_t)n) < 0)
		return; /* nowhere left to say it */
}

#define DEFINE(name, level, when)                                                                  \
	void name(const char *fmt, ...)                                                            \
	{                                                                                          \
		if (!(when))                                                                       \
			return;                                                                    \
		va_list ap;                                                                        \
		va_start(ap, fmt);                                                                 \
		line(level, fmt, ap);                                                              \
		va_end(ap);                                                                        \
	}
DEFINE(log_error, "error", true)
DEFINE(log_warn, "warn", true)
DEFINE(log_info, "info", true)
DEFINE(log_debug, "debug", debug)

void log_err(const struct err *e, const char *doing, ...)
{
	char what[300];
	va_list ap;
	va_start(ap, doing);
	vsnprintf(what, sizeof(what), doing, ap);
	va_end(ap);
	log_error("%s: %s [%s]; next: %s", what, e->text, err_code_name(e->code), err_next_step(e));
}
