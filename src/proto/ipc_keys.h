/* Messages to ward-edge-keys (SEQPACKET, <run>/edge-keys.sock; the edge's workers alone). The key
 * process holds every TLS private key; a worker learns certificates from it and has digests signed,
 * and can never have a key. */
#pragma once
#include "base/ipc.h"

enum {
	KEYS_VERSION = 1,
	KEYS_NAME_MAX = 128,
	KEYS_CERTS_MAX = 256,
	KEYS_BATCH_MAX = 16,
	KEYS_DIGEST_MAX = 64,
	KEYS_SIG_MAX = 80
};

enum keys_type {
	KEYS_LIST = 1, /* struct ipc_head -> struct keys_list. Also sent unasked (seq 0) to each
			  worker when a certificate was renewed */
	KEYS_CHAIN,    /* struct keys_chain_ask -> struct keys_chain + PEM chain, leaf first */
	KEYS_SIGN,     /* struct keys_sign -> struct keys_signed, the same count and order */
};

/* A certificate: `key` names its key and stays with it until renewal makes a new one. */
struct keys_cert {
	char name[KEYS_NAME_MAX]; /* "*.ward.localhost", "api.ward.localhost" */
	uint64_t key;
};

struct keys_list {
	struct ipc_head head;
	uint32_t count, pad_;
	struct keys_cert cert[KEYS_CERTS_MAX];
};

struct keys_chain_ask {
	struct ipc_head head;
	uint64_t key;
};

struct keys_chain {
	struct ipc_head head;
	int32_t result; /* 0 or a negative errno */
	uint32_t tail;  /* bytes of PEM after this struct */
};

/* A batch, so that many handshakes cost one system call. Each digest is SHA-2 of 32, 48 or 64
 * bytes. */
struct keys_sign {
	struct ipc_head head;
	uint32_t count, pad_;
	struct {
		uint64_t key, tag; /* the answer repeats the tag */
		uint32_t len, pad_;
		uint8_t digest[KEYS_DIGEST_MAX];
	} item[KEYS_BATCH_MAX];
};

struct keys_signed {
	struct ipc_head head;
	uint32_t count, pad_;
	struct {
		uint64_t tag;
		int32_t result; /* 0; -EAGAIN: ask again a little later; else never */
		uint32_t len;
		uint8_t sig[KEYS_SIG_MAX]; /* ECDSA, DER */
	} item[KEYS_BATCH_MAX];
};
