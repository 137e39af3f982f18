#define ERR_IMPLEMENTATION
#include "base/err.h"
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *next;
	int num, status;
} table[ERR_CODE_MAX] = {
	[ERR_NONE] = { "none", "", 0, 200 },
#define X(n, c, e, s, x) [n] = { c, x, e, s },
#include "base/errors.def"
#undef X
};

static void printf_like(3, 0) fill(struct err *e, enum err_code code, const char *fmt, va_list ap)
{
	if (!e)
		return;
	e->code = code;
	e->next[0] = 0;
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fill(e, code, fmt, ap);
	va_end(ap);
	return -table[code].num;
}

int err_sys(struct err *e, int num, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fill(e, num == ENOMEM ? ERR_NO_MEMORY : ERR_SYSTEM, fmt, ap);
	va_end(ap);
	if (e) {
		size_t n = strlen(e->text);
		snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror(num));
	}
	return num > 0 ? -num : -EIO;
}

int err_prefix(struct err *e, int ret, const char *fmt, ...)
{
	if (!e)
		return ret;
	char old[sizeof(e->text)];
	memcpy(old, e->text, sizeof(old));
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(e->text))
		snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s", old);
	return ret;
}

void err_next(struct err *e, const char *fmt, ...)
{
	if (!e)
		return;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(e->next, sizeof(e->next), fmt, ap);
	va_end(ap);
}

const char *err_code_name(enum err_code code)
{
	return code < ERR_CODE_MAX ? table[code].name : "internal";
}

int err_code_status(enum err_code code)
{
	return code < ERR_CODE_MAX ? table[code].status : 500;
}

const char *err_next_step(const struct err *e)
{
	return e->next[0] ? e->next : table[e->code].next;
}

enum err_code err_code_find(const char *name)
{
	for (int i = 0; i < ERR_CODE_MAX; i++)
		if (!strcmp(table[i].name, name))
			return i;
	return ERR_NONE;
}
