#include "vault/token.h"
#include "base/json.h"
#include "base/str.h"
#include <sodium.h>

enum { HASH = 32 };
static const char token_file[] = "bootstrap-token", hash_file[] = "token.json";

static void token_hash(const struct master *m, struct bytes token, uint8_t dst[HASH])
{
	uint8_t key[MASTER_KEY];
	master_subkey(m, "token", "bootstrap", "", key);
	crypto_generichash(dst, HASH, token.base, token.len, key, sizeof(key));
	sodium_memzero(key, sizeof(key));
}

static int hash_read(int dir, uint8_t dst[HASH], struct err *e)
{
	cleanup_json json_t *j = NULL;
	int64_t v;
	const char *hash;
	int r = json_read_file(dir, hash_file, 4096, &j, e);
	if (r < 0)
		return r;
	if ((r = json_need_int(j, "", "v", 1, 1, &v, e)) < 0 ||
	    (r = json_need_str(j, "", "hash", &hash, e)) < 0)
		return err_prefix(e, r, "%s", hash_file);
	if (!str_is_hex(hash, 2 * HASH) || !hex_decode(dst, HASH, hash))
		return err_set(e, ERR_INVALID, "%s is damaged", hash_file);
	return 0;
}

int token_prepare(const struct master *m, int dir, struct err *e)
{
	uint8_t hash[HASH];
	int r = hash_read(dir, hash, e);
	if (r != -ENOENT)
		return r;

	uint8_t raw[32];
	char text[TOKEN_TEXT + 2] = "ward_", hex[2 * HASH + 1];
	randombytes_buf(raw, sizeof(raw));
	sodium_bin2base64(
	    text + 5, sizeof(text) - 5, raw, sizeof(raw), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	token_hash(m, (struct bytes){ text, TOKEN_TEXT }, hash);
	text[TOKEN_TEXT] = '\n';
	/* The text before the hash: a crash between them makes a new pair; the other order would
	 * lose the token for ever. */
	r = file_write(dir, token_file, text, TOKEN_TEXT + 1, 0400, e);
	sodium_memzero(raw, sizeof(raw));
	sodium_memzero(text, sizeof(text));
	if (r < 0)
		return r;
	hex_encode(hex, hash, HASH);
	cleanup_json json_t *j = json_pack("{si ss}", "v", 1, "hash", hex);
	return j ? json_write_file(dir, hash_file, j, 0400, e)
		 : err_set(e, ERR_NO_MEMORY, "no memory to write %s", hash_file);
}

int token_check(
    const struct master *m, int dir, struct bytes token, const char **ret_who, struct err *e)
{
	uint8_t want[HASH], got[HASH];
	int r = hash_read(dir, want, e);
	if (r < 0)
		return r;
	token_hash(m, token, got);
	r = sodium_memcmp(want, got, HASH);
	sodium_memzero(want, sizeof(want));
	sodium_memzero(got, sizeof(got));
	if (r)
		return err_set(e, ERR_UNAUTHENTICATED, "this token is not known");
	*ret_who = "bootstrap";
	return 0;
}
