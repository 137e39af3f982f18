/* The API's bootstrap token: 32 random bytes as "ward_" and base64url. The vault keeps only a keyed
 * hash of it (token.json), and writes it once, for the operator, to bootstrap-token (0400), which
 * whoever reads it removes. */
#pragma once
#include "vault/master.h"

enum { TOKEN_TEXT = 5 + 43 };

/* Makes the token at the first start. The master must be open. */
int token_prepare(const struct master *m, int dir, struct err *e) must_check;

/* 0 and who (static) when it is the token; ERR_UNAUTHENTICATED otherwise. Takes the same time
 * either way. */
int token_check(const struct master *m, int dir, struct bytes token, const char **ret_who,
    struct err *e) must_check;
