/* The vault's root secret. 32 random bytes, made once, kept on disk only wrapped (vault.json) under
 * a key that comes from a key file or from a passphrase; so either can be changed later without
 * sealing everything again.
 *
 * vault.json:
 * {"v":1,"mode":"key-file"|"passphrase","wrapped":base64,"kdf":{"salt":hex,"ops":n,"mem_kib":n}} */
#pragma once
#include "base/file.h"
#include "base/util.h"

enum { MASTER_KEY = 32, PASSPHRASE_MIN = 12, PASSPHRASE_MAX = 1024 };
enum master_mode { MASTER_KEY_FILE, MASTER_PASSPHRASE };

struct master;

/* dir is the vault's folder, open; it stays the caller's and must outlive the master. Nothing is
 * unsealed yet. */
int master_new(int dir, enum master_mode mode, struct master **ret, struct err *e) must_check;
void master_free(struct master *m);

/* Opens with the key file, which is made (0400) when there is neither it nor anything sealed. A
 * missing file when there is, or a file that others may read, is refused. */
int master_open_key_file(struct master *m, const char *path, struct err *e) must_check;
/* Opens with the passphrase; the first one ever given sets it. */
int master_unlock(struct master *m, struct bytes passphrase, struct err *e) must_check;

bool master_is_open(const struct master *m);
const char *master_state(
    const struct master *m); /* "unsealed: key file" and so on, for VAULT_STATUS */

/* The key of (use, purpose, id): a keyed hash, so that knowing any number of them tells nothing of
 * others. `use` keeps the vault's own keys, sealing keys and keys handed out apart. The master must
 * be open. */
void master_subkey(const struct master *m, const char *use, const char *purpose, const char *id,
    uint8_t dst[MASTER_KEY]);
