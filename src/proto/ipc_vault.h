/* Messages to ward-vault (SEQPACKET, <run>/vault.sock). The peer's uid decides what it may ask: one
 * table in src/vault/rights.c, (daemon, purpose) -> operations. `tail` bytes follow the struct in
 * the same packet. */
#pragma once
#include "base/buf.h"
#include "base/ipc.h"

enum { VAULT_VERSION = 1, VAULT_BYTES_MAX = 120 * 1024, VAULT_ID_MAX = 96 };

enum vault_type {
	VAULT_SEAL =
	    1, /* vault_ask + plaintext -> vault_answer + sealed bytes (bound to purpose and id) */
	VAULT_UNSEAL, /* vault_ask + sealed bytes -> vault_answer + plaintext */
	VAULT_DERIVE, /* vault_ask -> vault_answer + 32 bytes: a key of (purpose, id), the same at
			 each call. wardd: "store-password" */
	VAULT_SIGN_LEAF, /* vault_ask (id = host name; "*.name" allowed) + DER SubjectPublicKeyInfo
			    -> PEM chain. edge-keys only */
	VAULT_CA,        /* vault_ask -> the local CA's certificate, PEM */
	VAULT_TOKEN_CHECK, /* vault_ask + token bytes -> vault_answer, result 0 and who in text; api
			      only */
	VAULT_STATUS,      /* vault_ask -> vault_answer; text "unsealed: key file" | "unsealed:
			      passphrase" | "sealed" */
	VAULT_UNLOCK,      /* vault_ask + passphrase; root only */
};

struct vault_ask {
	struct ipc_head head;
	char purpose[24];      /* "app-env", "log-key", "tls-key", "store-password", ... */
	char id[VAULT_ID_MAX]; /* what it belongs to: app id, machine id, host name */
	uint32_t tail;         /* bytes after this struct */
	uint32_t pad_;
};

struct vault_answer {
	struct ipc_head head;
	int32_t result;
	uint32_t code;
	char text[240];
	uint32_t tail;
	uint32_t pad_;
};

/* ---- the vault's side ---- */

/* One packet into a request: exact length, known version and type, strings that end and hold only
 * the letters allowed. The tail points into the packet. ret_ask is filled with what could be read
 * (for the answer's seq) also when it fails. */
int vault_ask_parse(const void *packet, size_t len, struct vault_ask *ret_ask,
    struct bytes *ret_tail, struct err *e) must_check;

/* ---- the asking side ---- */

/* Asks the vault at <run>/vault.sock once, on a connection of its own, within 10 s (so a vault that
 * was restarted in between does not matter). The answer's bytes are appended to *ret (NULL: there
 * must be none), its text to text[240] (may be NULL). What the vault refuses comes back with its
 * own code and sentence. After confine() this needs CONFINE_UNIX. */
int vault_call(const char *run, enum vault_type type, const char *purpose, const char *id,
    struct bytes tail, struct buf *ret, char text[240], struct err *e) must_check;
/* The same for who must not wait so long: an answer that takes longer is ERR_TIMEOUT. */
int vault_call_within(const char *run, unsigned bound_ms, enum vault_type type, const char *purpose,
    const char *id, struct bytes tail, struct buf *ret, char text[240], struct err *e) must_check;
