/* A request target's two halves, decoded once: RFC 3986 section 2.1 and the form encoding of
 * queries. */
#pragma once
#include "base/err.h"
#include "base/util.h"

enum { URL_PARAMS_MAX = 64 };

struct url {
	char *path; /* starts with '/', no "." or ".." segments, no NUL, valid UTF-8 */
	struct url_param {
		char *key, *value;
	} params[URL_PARAMS_MAX];
	size_t nparams;
	char *memory; /* all of the above point into it */
};

/* target: origin form, "/path?query". An encoded slash or NUL in the path, an empty segment, a bad
 * escape, text that is not UTF-8 and more than URL_PARAMS_MAX parameters are refused. */
int url_parse(struct url *u, struct bytes target, struct err *e) must_check;
void url_done(struct url *u);
/* The n-th value of the key, NULL when there is none. */
const char *url_param(const struct url *u, const char *key, size_t n);

/* Valid UTF-8 (RFC 3629: no overlong forms, no surrogates) without control characters. */
bool url_text_ok(const char *s, size_t n);
