#include "vault/master.h"
#include "base/json.h"
#include "base/str.h"
#include "vault/seal.h"
#include "vault/secret.h"
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

/* argon2id, RFC 9106; kept in the file so that a later version may choose others. */
enum { KDF_OPS = 4, KDF_MEM_KIB = 64 * 1024, KDF_OPS_MAX = 64, KDF_MEM_KIB_MAX = 1024 * 1024 };
static const char state_file[] = "vault.json";
static const char *const mode_names[] = {
	[MASTER_KEY_FILE] = "key-file", [MASTER_PASSPHRASE] = "passphrase"
};

struct wrapped {
	bool present;
	uint8_t salt[crypto_pwhash_SALTBYTES];
	int64_t ops, mem_kib;
	uint8_t sealed[MASTER_KEY + SEAL_OVERHEAD];
};

struct master {
	int dir;
	enum master_mode mode;
	bool open;
	uint8_t *key; /* secret memory */
	struct wrapped w;
};

static int state_read(struct master *m, struct err *e)
{
	cleanup_json json_t *j = NULL;
	int r = json_read_file(m->dir, state_file, 4096, &j, e);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	int64_t v;
	const char *mode, *wrapped, *salt = NULL;
	json_t *kdf = NULL;
	if ((r = json_need_int(j, "", "v", 1, 1, &v, e)) < 0 ||
	    (r = json_need_str(j, "", "mode", &mode, e)) < 0 ||
	    (r = json_need_str(j, "", "wrapped", &wrapped, e)) < 0 ||
	    (r = json_opt_object(j, "", "kdf", &kdf, e)) < 0)
		return err_prefix(e, r, "%s", state_file);
	if (!streq(mode, mode_names[m->mode])) {
		r = err_set(e, ERR_CONFLICT,
		    "this vault was made for a master key from a %s, and is started for a %s", mode,
		    mode_names[m->mode]);
		err_next(e, "start ward-vault as it was first started");
		return r;
	}
	if (base64_decode(m->w.sealed, sizeof(m->w.sealed), wrapped, strlen(wrapped)) !=
	    sizeof(m->w.sealed))
		return err_set(e, ERR_INVALID, "%s: \"wrapped\" is damaged", state_file);
	if (m->mode == MASTER_PASSPHRASE) {
		if (!kdf)
			return err_set(e, ERR_INVALID, "%s: \"kdf\" is missing", state_file);
		if ((r = json_need_str(kdf, "kdf", "salt", &salt, e)) < 0 ||
		    (r = json_need_int(kdf, "kdf", "ops", 1, KDF_OPS_MAX, &m->w.ops, e)) < 0 ||
		    (r = json_need_int(
			 kdf, "kdf", "mem_kib", 8, KDF_MEM_KIB_MAX, &m->w.mem_kib, e)) < 0)
			return err_prefix(e, r, "%s", state_file);
		if (strlen(salt) != 2 * sizeof(m->w.salt) ||
		    !hex_decode(m->w.salt, sizeof(m->w.salt), salt))
			return err_set(e, ERR_INVALID, "%s: \"salt\" is damaged", state_file);
	}
	m->w.present = true;
	return 0;
}

static int state_write(const struct master *m, struct err *e)
{
	char salt[2 * sizeof(m->w.salt) + 1];
	hex_encode(salt, m->w.salt, sizeof(m->w.salt));
	cleanup_free char *wrapped = base64_encode(m->w.sealed, sizeof(m->w.sealed));
	if (!wrapped)
		return err_set(e, ERR_NO_MEMORY, "no memory to write %s", state_file);
	cleanup_json json_t *j =
	    json_pack("{si ss ss}", "v", 1, "mode", mode_names[m->mode], "wrapped", wrapped);
	if (j && m->mode == MASTER_PASSPHRASE &&
	    json_object_set_new(j, "kdf",
		json_pack("{ss sI sI}", "salt", salt, "ops", (json_int_t)m->w.ops, "mem_kib",
		    (json_int_t)m->w.mem_kib)))
		return err_set(e, ERR_NO_MEMORY, "no memory to write %s", state_file);
	if (!j)
		return err_set(e, ERR_NO_MEMORY, "no memory to write %s", state_file);
	return json_write_file(m->dir, state_file, j, 0400, e);
}

int master_new(int dir, enum master_mode mode, struct master **ret, struct err *e)
{
	struct master *m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(e, ERR_NO_MEMORY, "no memory for the vault");
	m->dir = dir;
	m->mode = mode;
	int r = secret_new(MASTER_KEY, (void **)&m->key, e);
	if (r == 0)
		r = state_read(m, e);
	if (r < 0) {
		master_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

void master_free(struct master *m)
{
	if (!m)
		return;
	secret_free(m->key);
	free(m);
}

/* Opens what is there, or makes the master key and wraps it, under this key-encrypting key. */
static int open_under(struct master *m, const uint8_t kek[SEAL_KEY], struct err *e)
{
	size_t n;
	if (m->w.present) {
		/* unseal needs room for the sealed length; the master's own memory has only the
		 * key's */
		cleanup_secret uint8_t *plain = NULL;
		int r = secret_new(sizeof(m->w.sealed), (void **)&plain, e);
		if (r < 0)
			return r;
		if (unseal_bytes(kek, "master", "vault",
			(struct bytes){ m->w.sealed, sizeof(m->w.sealed) }, plain, &n, e) < 0) {
			r = err_set(e, ERR_UNAUTHENTICATED,
			    "this is not the %s that the vault was made with",
			    m->mode == MASTER_KEY_FILE ? "key file" : "passphrase");
			err_next(e,
			    "give the right one; without it nothing sealed here can be read again");
			return r;
		}
		memcpy(m->key, plain, MASTER_KEY);
		m->open = true;
		return 0;
	}
	randombytes_buf(m->key, MASTER_KEY);
	seal_bytes(kek, "master", "vault", (struct bytes){ m->key, MASTER_KEY }, m->w.sealed);
	int r = state_write(m, e);
	if (r < 0)
		return r;
	m->w.present = m->open = true;
	return 0;
}

static int key_file_make(const char *path, struct err *e)
{
	cleanup_secret uint8_t *fresh = NULL;
	int r = secret_new(MASTER_KEY, (void **)&fresh, e);
	if (r < 0)
		return r;
	randombytes_buf(fresh, MASTER_KEY);
	return file_write(AT_FDCWD, path, fresh, MASTER_KEY, 0400, e);
}

int master_open_key_file(struct master *m, const char *path, struct err *e)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT && !m->w.present) {
		int r = key_file_make(path, e);
		if (r < 0)
			return r;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	}
	if (fd < 0) {
		int r = err_sys(e, errno, "cannot open the key file %s", path);
		if (m->w.present)
			err_next(e, "restore the key file; without it nothing sealed here can be "
				    "read again");
		return r;
	}
	struct stat st;
	if (fstat(fd, &st))
		return err_sys(e, errno, "cannot look at the key file %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size != MASTER_KEY)
		return err_set(e, ERR_INVALID, "the key file %s must be a regular file of %d bytes",
		    path, MASTER_KEY);
	if ((st.st_mode & 077) || (st.st_uid != geteuid() && st.st_uid != 0)) {
		int r =
		    err_set(e, ERR_WALL, "the key file %s may be read or changed by others", path);
		err_next(e, "chmod 0400 it and give it to the vault's user");
		return r;
	}
	cleanup_secret uint8_t *kek = NULL;
	int r = secret_new(SEAL_KEY, (void **)&kek, e);
	if (r < 0)
		return r;
	r = io_read_all(fd, kek, SEAL_KEY);
	return r < 0 ? err_sys(e, -r, "cannot read the key file %s", path) : open_under(m, kek, e);
}

int master_unlock(struct master *m, struct bytes passphrase, struct err *e)
{
	if (m->mode != MASTER_PASSPHRASE)
		return err_set(
		    e, ERR_INVALID, "this vault opens with a key file, not with a passphrase");
	if (m->open)
		return 0;
	if (passphrase.len < PASSPHRASE_MIN || passphrase.len > PASSPHRASE_MAX)
		return err_set(e, ERR_INVALID, "a passphrase has %d to %d bytes", PASSPHRASE_MIN,
		    PASSPHRASE_MAX);
	if (!m->w.present) {
		randombytes_buf(m->w.salt, sizeof(m->w.salt));
		m->w.ops = KDF_OPS;
		m->w.mem_kib = KDF_MEM_KIB;
	}
	cleanup_secret uint8_t *kek = NULL;
	int r = secret_new(SEAL_KEY, (void **)&kek, e);
	if (r < 0)
		return r;
	if (crypto_pwhash(kek, SEAL_KEY, passphrase.base, passphrase.len, m->w.salt,
		(unsigned long long)m->w.ops, (size_t)m->w.mem_kib * 1024,
		crypto_pwhash_ALG_ARGON2ID13))
		return err_set(e, ERR_NO_MEMORY, "no memory (%lld KiB) to stretch the passphrase",
		    (long long)m->w.mem_kib);
	return open_under(m, kek, e);
}

bool master_is_open(const struct master *m)
{
	return m->open;
}

const char *master_state(const struct master *m)
{
	if (!m->open)
		return "sealed";
	return m->mode == MASTER_KEY_FILE ? "unsealed: key file" : "unsealed: passphrase";
}

static void absorb(crypto_generichash_state *h, const char *s)
{
	size_t n = strlen(s);
	uint8_t len[2] = { (uint8_t)(n >> 8), (uint8_t)n };
	crypto_generichash_update(h, len, sizeof(len));
	crypto_generichash_update(h, (const uint8_t *)s, n);
}

void master_subkey(const struct master *m, const char *use, const char *purpose, const char *id,
    uint8_t dst[MASTER_KEY])
{
	crypto_generichash_state h;
	crypto_generichash_init(&h, m->key, MASTER_KEY, MASTER_KEY);
	absorb(&h, "ward subkey 1");
	absorb(&h, use);
	absorb(&h, purpose);
	absorb(&h, id);
	crypto_generichash_final(&h, dst, MASTER_KEY);
	sodium_memzero(&h, sizeof(h));
}
