#include "vault/vault.h"
#include "base/str.h"
#include "vault/ca.h"
#include "vault/rights.h"
#include "vault/seal.h"
#include "vault/token.h"
#include <sodium.h>

struct vault {
	int dir;
	struct vault_config config;
	struct master *master;
	struct ca *ca; /* NULL until unsealed */
};

/* What can only be done once the master key is there, at start or after an unlock. */
static int on_open(struct vault *v, struct err *e)
{
	int r = token_prepare(v->master, v->dir, e);
	return r < 0 || v->ca ? r
			      : ca_open(v->master, v->dir, v->config.instance,
				    v->config.base_domain, &v->ca, e);
}

int vault_new(int dir, const struct vault_config *config, struct vault **ret, struct err *e)
{
	struct vault *v = calloc(1, sizeof(*v));
	if (!v) {
		close(dir);
		return err_set(e, ERR_NO_MEMORY, "no memory for the vault");
	}
	v->dir = dir;
	v->config = *config;
	int r =
	    master_new(dir, config->key_file ? MASTER_KEY_FILE : MASTER_PASSPHRASE, &v->master, e);
	if (r == 0 && config->key_file)
		r = master_open_key_file(v->master, config->key_file, e);
	if (r == 0 && config->key_file)
		r = on_open(v, e);
	if (r < 0) {
		vault_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

void vault_free(struct vault *v)
{
	if (!v)
		return;
	ca_free(v->ca);
	master_free(v->master);
	close(v->dir);
	free(v);
}

const char *vault_state(const struct vault *v)
{
	return master_state(v->master);
}

static int do_seal(struct vault *v, const char *purpose, const char *id, struct bytes tail,
    uint8_t *out, size_t *ret_len, struct err *e)
{
	if (tail.len > VAULT_BYTES_MAX - SEAL_OVERHEAD)
		return err_set(e, ERR_TOO_LARGE, "at most %d bytes can be sealed at once",
		    VAULT_BYTES_MAX - SEAL_OVERHEAD);
	uint8_t key[MASTER_KEY];
	master_subkey(v->master, "seal", purpose, id, key);
	seal_bytes(key, purpose, id, tail, out);
	sodium_memzero(key, sizeof(key));
	*ret_len = tail.len + SEAL_OVERHEAD;
	return 0;
}

static int do_unseal(struct vault *v, const char *purpose, const char *id, struct bytes tail,
    uint8_t *out, size_t *ret_len, struct err *e)
{
	uint8_t key[MASTER_KEY];
	master_subkey(v->master, "seal", purpose, id, key);
	int r = unseal_bytes(key, purpose, id, tail, out, ret_len, e);
	sodium_memzero(key, sizeof(key));
	return r;
}

static int do_sign(struct vault *v, const char *id, struct bytes tail, uint8_t *out,
    size_t *ret_len, struct err *e)
{
	cleanup_buf struct buf pem;
	buf_init(&pem, 2 * CA_PEM_MAX);
	int r = ca_sign_leaf(v->ca, id, tail, v->config.leaf_days, &pem, e);
	if (r < 0)
		return r;
	memcpy(out, pem.data, pem.len);
	*ret_len = pem.len;
	return 0;
}

/* Public, so it is told even while the vault is sealed. */
static int do_ca(struct vault *v, uint8_t *out, size_t *ret_len, struct err *e)
{
	cleanup_free char *pem = NULL;
	size_t n;
	int r = file_read(v->dir, "ca.pem", CA_PEM_MAX, &pem, &n, e);
	if (r < 0)
		return r;
	memcpy(out, pem, n);
	*ret_len = n;
	return 0;
}

int vault_do(struct vault *v, enum daemon who, enum vault_type op, const char *purpose,
    const char *id, struct bytes tail, uint8_t *out, size_t *ret_len, char text[240], struct err *e)
{
	size_t n = 0;
	const char *said = "";
	int r = 0;
	if (!vault_may(who, op, purpose))
		return err_set(e, ERR_FORBIDDEN, "%s may not ask the vault for %s of \"%s\"",
		    who < DAEMON_MAX ? daemon_name(who) : "a stranger", vault_op_name(op), purpose);
	bool works_sealed = op == VAULT_STATUS || op == VAULT_UNLOCK || op == VAULT_CA;
	if (!works_sealed && !v->ca)
		return err_set(e, ERR_SEALED, "the vault is sealed");
	switch (op) {
	case VAULT_SEAL: r = do_seal(v, purpose, id, tail, out, &n, e); break;
	case VAULT_UNSEAL: r = do_unseal(v, purpose, id, tail, out, &n, e); break;
	case VAULT_DERIVE:
		master_subkey(v->master, "derive", purpose, id, out);
		n = MASTER_KEY;
		break;
	case VAULT_SIGN_LEAF: r = do_sign(v, id, tail, out, &n, e); break;
	case VAULT_CA: r = do_ca(v, out, &n, e); break;
	case VAULT_TOKEN_CHECK: r = token_check(v->master, v->dir, tail, &said, e); break;
	case VAULT_STATUS: said = master_state(v->master); break;
	case VAULT_UNLOCK:
		r = master_unlock(v->master, tail, e);
		if (r == 0)
			r = on_open(v, e);
		break;
	default: r = err_set(e, ERR_INVALID, "the vault knows no operation %d", (int)op);
	}
	if (r < 0)
		return r;
	str_copy(text, 240, said);
	*ret_len = n;
	return 0;
}
