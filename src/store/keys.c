#include "store/keys.h"
#include "base/str.h"

#define D(name) (1u << DAEMON_##name)

const struct store_key store_keys[] = {
	/* what the API was asked for, and what became of it */
	{ "requests/<id>", D(API), D(CONTROL), 0, STORE_VALUE_MAX },
	{ "outcomes/<id>", D(CONTROL), D(API), 0, STORE_VALUE_MAX },
	{ "locks/<machine>", D(API), D(CONTROL), 0, 4096 },
	{ "secrets/<app-id>/<name>", D(API), D(CONTROL) | D(AGENT), 0, 64 * 1024 },

	/* what should be: control alone decides */
	{ "names/<name>", D(CONTROL), D(API) | D(EDGE), 0, 4096 },
	{ "apps/<app-id>/app", D(CONTROL), D(API) | D(EDGE), 0, 64 * 1024 },
	{ "apps/<app-id>/releases/<n>", D(CONTROL), D(API) | D(EDGE), 0, STORE_VALUE_MAX },
	{ "apps/<app-id>/deploys/<id>", D(CONTROL), D(API) | D(EDGE), 0, STORE_VALUE_MAX },
	{ "apps/<app-id>/deploy-events/<id>/<n>", D(CONTROL), D(API) | D(EDGE), 0, 16 * 1024 },
	/* of every host: who reads a row everywhere writes it everywhere */
	{ "desired/<host>/<machine>", D(CONTROL), D(CONTROL) | D(API) | D(EDGE), D(AGENT),
	    STORE_VALUE_MAX },
	{ "volumes/<id>/<part>", D(CONTROL), D(API), D(AGENT), 64 * 1024 },
	{ "ids/<kind>/<id>", D(CONTROL), D(API), 0, 4096 }, /* numbers given out, by transaction */
	{ "leader", D(CONTROL), D(API), 0, 4096 },

	/* what is: each host tells */
	{ "observed/<host>/<machine>", D(AGENT), D(CONTROL) | D(API) | D(EDGE), 0, 64 * 1024 },
	{ "observed/<host>/checks/<machine>", D(EDGE), D(CONTROL) | D(API), D(AGENT), 64 * 1024 },
	{ "wants/<host>/<machine>", D(EDGE), D(CONTROL), D(AGENT), 4096 },
	{ "hosts/<host>", D(AGENT), D(CONTROL) | D(API) | D(EDGE), 0, 16 * 1024 },
	{ "alive/<host>", D(AGENT), D(CONTROL) | D(API) | D(EDGE), 0, 4096 },
	{ "certs/<name>", D(EDGE), D(API), 0, 64 * 1024 },
};
const size_t store_keys_count = countof(store_keys);

static bool segment_valid(const char *s, size_t n)
{
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	return n && strspn(s, letters) >= n && !(n == 1 && s[0] == '.') &&
	       !(n == 2 && s[0] == '.' && s[1] == '.');
}

/* Does the key have the pattern's form? *ret_exact counts the segments that are the same word. */
static bool matches(const char *pattern, const char *key, unsigned *ret_exact)
{
	unsigned exact = 0;
	for (;;) {
		size_t p = strcspn(pattern, "/"), k = strcspn(key, "/");
		if (!segment_valid(key, k))
			return false;
		if (pattern[0] != '<') {
			if (p != k || memcmp(pattern, key, p) != 0)
				return false;
			exact++;
		}
		if (!pattern[p] || !key[k]) {
			*ret_exact = exact;
			return !pattern[p] && !key[k];
		}
		pattern += p + 1;
		key += k + 1;
	}
}

const struct store_key *store_key_find(const char *key)
{
	const struct store_key *found = NULL;
	unsigned best = 0;
	if (strlen(key) > STORE_KEY_MAX)
		return NULL;
	for (size_t i = 0; i < countof(store_keys); i++) {
		unsigned exact;
		if (matches(store_keys[i].pattern, key, &exact) && (!found || exact > best)) {
			found = &store_keys[i];
			best = exact;
		}
	}
	return found;
}

int store_key_check(const char *key, enum daemon who, size_t size, struct err *e)
{
	const struct store_key *k = store_key_find(key);
	if (!k)
		return err_set(e, ERR_INVALID, "\"%.*s\" is not a key of the store's table",
		    STORE_KEY_MAX, key);
	if (who < DAEMON_MAX && !(k->writers & (1u << who)))
		return err_set(
		    e, ERR_FORBIDDEN, "%s does not write %s", daemon_name(who), k->pattern);
	if (size > k->max)
		return err_set(e, ERR_TOO_LARGE, "%s is %zu bytes; %s may have %zu", key, size,
		    k->pattern, k->max);
	return 0;
}

bool store_has_user(enum daemon who)
{
	for (size_t i = 0; i < countof(store_keys); i++)
		if ((store_keys[i].writers | store_keys[i].readers | store_keys[i].readers_here) &
		    (1u << who))
			return true;
	return false;
}
