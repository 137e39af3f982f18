#include "api/gate.h"
#include "api/vault.h"
#include "base/str.h"
#include <strings.h>

enum { TOKEN_MAX = 8 * 1024 };

int gate_init(struct gate *g, const char *run, struct err *e)
{
	memset(g, 0, sizeof(*g));
	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, "libsodium cannot start");
	if (!str_copy(g->run, sizeof(g->run), run))
		return err_set(e, ERR_INVALID, "the run folder's path is too long");
	return 0;
}

void gate_token(const char *authorization, const char **ret, size_t *ret_len)
{
	static const char *const schemes[] = { "Bearer ", "FlyV1 " };
	*ret = "";
	*ret_len = 0;
	for (size_t i = 0; authorization && i < countof(schemes); i++) {
		size_t n = strlen(schemes[i]);
		if (strncasecmp(authorization, schemes[i], n) != 0)
			continue;
		const char *token = authorization + n;
		/* flyctl writes "Bearer FlyV1 ..." too */
		if (i == 0 && !strncasecmp(token, schemes[1], strlen(schemes[1])))
			token += strlen(schemes[1]);
		*ret = token;
		*ret_len = strlen(token);
		return;
	}
}

static int refuse(struct err *e, const char *next)
{
	int r = err_set(e, ERR_UNAUTHENTICATED, "Authenticate: token validation error");
	err_next(e, "%s", next);
	return r;
}

static struct gate_entry *find(struct gate *g, const unsigned char *hash, uint64_t now_ms)
{
	for (size_t i = 0; i < GATE_CACHE; i++) {
		struct gate_entry *c = &g->cache[i];
		if (c->until_ms > now_ms && !sodium_memcmp(c->hash, hash, sizeof(c->hash)))
			return c;
	}
	return NULL;
}

/* The place of what ends first. */
static struct gate_entry *oldest(struct gate *g)
{
	struct gate_entry *best = &g->cache[0];
	for (size_t i = 1; i < GATE_CACHE; i++)
		if (g->cache[i].until_ms < best->until_ms)
			best = &g->cache[i];
	return best;
}

static int authenticate(struct gate *g, const char *authorization, uint64_t now_ms,
    char who[GATE_WHO_MAX], struct err *e)
{
	const char *token;
	size_t n;
	gate_token(authorization, &token, &n);
	if (!authorization)
		return refuse(e,
		    "send the header Authorization: Bearer TOKEN (the CLI takes it from "
		    "WARD_API_TOKEN)");
	if (n == 0 || n > TOKEN_MAX)
		return refuse(e, "the Authorization header must be \"Bearer TOKEN\"");

	unsigned char hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256(hash, (const unsigned char *)token, n);
	struct gate_entry *c = find(g, hash, now_ms);
	if (!c) {
		char text[240];
		int r = api_vault(
		    g->run, VAULT_TOKEN_CHECK, "", "", (struct bytes){ token, n }, NULL, text, e);
		if (r < 0 && (e->code == ERR_UNAUTHENTICATED || e->code == ERR_FORBIDDEN ||
				 e->code == ERR_INVALID || e->code == ERR_NOT_FOUND))
			return refuse(e, "set WARD_API_TOKEN to a valid token");
		if (r < 0)
			return err_prefix(e, r, "the token cannot be checked now");
		c = oldest(g);
		memcpy(c->hash, hash, sizeof(hash));
		c->until_ms = now_ms + GATE_TTL_MS;
		snprintf(c->who, sizeof(c->who), "%.90s", text[0] ? text : "unknown");
	}
	memcpy(who, c->who, GATE_WHO_MAX);
	return 0;
}

int gate_check(struct gate *g, const char *authorization, enum right right, uint64_t now_ms,
    char who[GATE_WHO_MAX], struct err *e)
{
	int r = authenticate(g, authorization, now_ms, who, e);
	if (r < 0)
		return r;
	/* The bootstrap token, the only one yet, may do all of them. */
	switch (right) {
	case RIGHT_READ:
	case RIGHT_CHANGE:
	case RIGHT_ENTER:
	case RIGHT_PLATFORM:
	case RIGHT_PUBLIC: return 0;
	}
	return err_set(e, ERR_FORBIDDEN, "this token may not do that");
}
