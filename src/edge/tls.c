#include "edge/tls.h"
#include "base/str.h"
#include "edge/worker.h"
#include <openssl/async.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <sys/socket.h>

/* reference: Fly's published setting. ECDSA certificates alone, so these three suffice for TLS 1.2.
 */
#define CIPHERS_12                                                                                 \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-"        \
	"POLY1305"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS     "X25519:P-256:P-384"

enum { CERTS_MAX = 256, PENDING_JOBS = 1024 };

struct cert {
	char name[ROUTE_HOST_LEN_MAX + 1];
	uint64_t key;
	SSL_CTX *ctx;
};

struct tls {
	SSL_CTX *ctx; /* what every connection begins with; it has no certificate */
	BIO_METHOD *bio;
	struct cert certs[CERTS_MAX];
	size_t ncerts;
	struct edge_tickets tickets;
	bool have_tickets;
	struct client *handshaking;
};

/* ---- the socket beneath TLS, which keeps the loop's flags true and so saves the reads that would
 * find nothing ---- */

static int bio_read(BIO *b, char *p, int n)
{
	struct client *c = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	if (!c->watch.readable) {
		BIO_set_retry_read(b);
		return -1;
	}
	ssize_t r = recv(c->watch.fd, p, (size_t)n, 0);
	if (r < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->watch.readable = false;
		BIO_set_retry_read(b);
		return -1;
	}
	if (r > 0 && r < n && !c->watch.hangup)
		c->watch.readable = false;
	return (int)r;
}

static int bio_write(BIO *b, const char *p, int n)
{
	struct client *c = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	if (!c->watch.writable) {
		BIO_set_retry_write(b);
		return -1;
	}
	ssize_t r = send(c->watch.fd, p, (size_t)n, MSG_NOSIGNAL);
	if (r < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->watch.writable = false;
		BIO_set_retry_write(b);
	}
	return (int)r;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *p)
{
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

/* ---- which certificate ---- */

static const struct cert *find_cert(const struct tls *t, const char *name)
{
	const char *dot = strchr(name, '.');
	const struct cert *wild = NULL;
	for (size_t i = 0; i < t->ncerts; i++) {
		const char *n = t->certs[i].name;
		if (streq(n, name))
			return &t->certs[i];
		if (dot && n[0] == '*' && streq(n + 1, dot))
			wild = &t->certs[i];
	}
	return wild;
}

/* Without a name, or with one that we have no certificate for, there is no handshake: addresses are
 * shared by all apps. */
static int on_hello(SSL *ssl, int *alert, void *arg)
{
	struct worker *w = arg;
	struct client *c = w->tls->handshaking;
	const unsigned char *p;
	size_t len;
	*alert = SSL_AD_UNRECOGNIZED_NAME;
	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &len))
		return SSL_CLIENT_HELLO_ERROR;
	/* RFC 6066 section 3: list length, type 0, name length, name; exactly one name */
	if (len < 5 || (size_t)(p[0] << 8 | p[1]) != len - 2 || p[2] != 0 ||
	    (size_t)(p[3] << 8 | p[4]) != len - 5 || len - 5 == 0 || len - 5 > ROUTE_HOST_LEN_MAX)
		return SSL_CLIENT_HELLO_ERROR;
	for (size_t i = 0; i < len - 5; i++) {
		unsigned char ch = p[5 + i];
		if (ch <= ' ' || ch > '~')
			return SSL_CLIENT_HELLO_ERROR;
		c->sni[i] = (char)(ch >= 'A' && ch <= 'Z' ? ch | 0x20 : ch);
	}
	c->sni[len - 5] = 0;
	const struct cert *cert = find_cert(w->tls, c->sni);
	if (!cert || !SSL_set_SSL_CTX(ssl, cert->ctx))
		return SSL_CLIENT_HELLO_ERROR;
	return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
    const unsigned char *in, unsigned inlen, void *arg)
{
	static const unsigned char ours[] = "http/1.1";
	for (unsigned i = 0; i < inlen; i += 1 + (unsigned)in[i])
		if (in[i] == sizeof(ours) - 1 && i + in[i] < inlen &&
		    !memcmp(in + i + 1, ours, sizeof(ours) - 1)) {
			*out = in + i + 1;
			*outlen = in[i];
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_ALERT_FATAL; /* it speaks something else: never guess (ALPACA) */
}

/* ---- session tickets: the same keys in all workers ---- */

void tls_tickets(struct worker *w, const struct edge_tickets *t)
{
	w->tls->tickets = *t;
	w->tls->have_tickets = true;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int enc)
{
	struct worker *w = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct tls *t = w->tls;
	size_t i = 0;
	if (!t->have_tickets)
		return 0;
	while (!enc && i < EDGE_TICKET_KEYS && memcmp(t->tickets.key[i].name, name, 16) != 0)
		i++;
	if (i == EDGE_TICKET_KEYS)
		return 0;
	const struct edge_ticket_key *k = &t->tickets.key[i];
	OSSL_PARAM params[] = { OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY,
				    (void *)(uintptr_t)k->hmac, sizeof(k->hmac)),
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
		OSSL_PARAM_END };
	if (enc) {
		memcpy(name, k->name, 16);
		if (RAND_bytes(iv, 16) != 1)
			return -1;
	}
	if (!EVP_MAC_CTX_set_params(mac, params) ||
	    !EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv, enc))
		return -1;
	return !enc && i > 0 ? 2 : 1; /* 2: good, but give a new one */
}

/* ---- contexts ---- */

static size_t sign_now(void *arg, uint64_t key, const uint8_t *digest, size_t len, uint8_t sig[80])
{
	struct worker *w = arg;
	return w->tls->handshaking ? keys_sign(w, w->tls->handshaking, key, digest, len, sig) : 0;
}

static SSL_CTX *make_context(struct worker *w)
{
	SSL_CTX *x = SSL_CTX_new(TLS_server_method());
	if (!x || !SSL_CTX_set_min_proto_version(x, TLS1_2_VERSION) ||
	    !SSL_CTX_set_cipher_list(x, CIPHERS_12) || !SSL_CTX_set_ciphersuites(x, CIPHERS_13) ||
	    !SSL_CTX_set1_groups_list(x, GROUPS)) {
		SSL_CTX_free(x);
		return NULL;
	}
	SSL_CTX_set_options(
	    x, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(x, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ASYNC);
	SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(x, 1);
	SSL_CTX_set_read_ahead(x, 1);
	SSL_CTX_set_app_data(x, w);
	SSL_CTX_set_client_hello_cb(x, on_hello, w);
	SSL_CTX_set_alpn_select_cb(x, on_alpn, w);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(x, on_ticket);
	return x;
}

int tls_init(struct worker *w, struct err *e)
{
	struct tls *t = calloc(1, sizeof(*t));
	w->tls = t;
	if (!t || tls_key_init(sign_now, w) < 0 || !ASYNC_init_thread(PENDING_JOBS, 0))
		return err_set(e, ERR_NO_MEMORY, "no memory for TLS");
	t->bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ward");
	if (!t->bio || !BIO_meth_set_read(t->bio, bio_read) ||
	    !BIO_meth_set_write(t->bio, bio_write) || !BIO_meth_set_ctrl(t->bio, bio_ctrl) ||
	    !BIO_meth_set_create(t->bio, bio_create))
		return err_set(e, ERR_NO_MEMORY, "no memory for TLS");
	t->ctx = make_context(w);
	return t->ctx ? 0 : err_set(e, ERR_SYSTEM, "OpenSSL refuses the TLS settings");
}

bool tls_has(const struct worker *w, uint64_t key)
{
	for (size_t i = 0; i < w->tls->ncerts; i++)
		if (w->tls->certs[i].key == key)
			return true;
	return false;
}

static int load_chain(SSL_CTX *x, uint64_t key, struct bytes pem)
{
	BIO *b = BIO_new_mem_buf(pem.base, (int)pem.len);
	X509 *leaf = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;
	EVP_PKEY *pkey = leaf ? tls_key_new(leaf, key) : NULL;
	bool ok =
	    pkey && SSL_CTX_use_certificate(x, leaf) == 1 && SSL_CTX_use_PrivateKey(x, pkey) == 1;
	for (int i = 0; ok && i < 8; i++) {
		X509 *up = PEM_read_bio_X509(b, NULL, NULL, NULL);
		if (!up)
			break;
		if (SSL_CTX_add0_chain_cert(x, up) != 1) {
			X509_free(up);
			ok = false;
		}
	}
	ERR_clear_error();
	EVP_PKEY_free(pkey);
	X509_free(leaf);
	BIO_free(b);
	return ok ? 0 : -EINVAL;
}

int tls_certificate(
    struct worker *w, const char *name, uint64_t key, struct bytes pem, struct err *e)
{
	struct tls *t = w->tls;
	struct cert c = { .key = key, .ctx = make_context(w) };
	if (!c.ctx || t->ncerts == CERTS_MAX || !str_copy(c.name, sizeof(c.name), name) ||
	    pem.len > INT32_MAX) {
		SSL_CTX_free(c.ctx);
		return err_set(e, ERR_TOO_LARGE, "no room for the certificate of %.100s", name);
	}
	if (load_chain(c.ctx, key, pem) < 0) {
		SSL_CTX_free(c.ctx);
		return err_set(e, ERR_PROTOCOL, "the certificate of %.100s cannot be used", name);
	}
	/* the newest of a name comes first, so that it is found */
	memmove(t->certs + 1, t->certs, t->ncerts * sizeof(t->certs[0]));
	t->certs[0] = c;
	w->count->certificates = ++t->ncerts;
	return 0;
}

void tls_certificates_only(struct worker *w, const uint64_t *keys, size_t n)
{
	struct tls *t = w->tls;
	size_t kept = 0;
	for (size_t i = 0; i < t->ncerts; i++) {
		size_t k = 0;
		while (k < n && keys[k] != t->certs[i].key)
			k++;
		if (k < n)
			t->certs[kept++] = t->certs[i];
		else
			SSL_CTX_free(t->certs[i].ctx); /* connections that use it hold it */
	}
	w->count->certificates = t->ncerts = kept;
}

/* ---- connections ---- */

int tls_start(struct client *c, struct err *e)
{
	struct tls *t = c->w->tls;
	BIO *b = BIO_new(t->bio);
	c->ssl = SSL_new(t->ctx);
	if (!c->ssl || !b) {
		BIO_free(b);
		return err_set(e, ERR_NO_MEMORY, "no memory for TLS");
	}
	BIO_set_data(b, c);
	SSL_set_bio(c->ssl, b, b);
	SSL_set_accept_state(c->ssl);
	return 0;
}

int tls_handshake(struct client *c)
{
	struct tls *t = c->w->tls;
	ERR_clear_error();
	t->handshaking = c;
	int r = SSL_do_handshake(c->ssl);
	t->handshaking = NULL;
	if (r == 1) {
		SSL_clear_mode(
		    c->ssl, SSL_MODE_ASYNC); /* reading and writing need no job of their own */
		c->w->count->handshakes++;
		c->w->count->resumed += (uint64_t)SSL_session_reused(c->ssl);
		return 1;
	}
	switch (SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
	case SSL_ERROR_WANT_ASYNC: return 0;
	case SSL_ERROR_WANT_ASYNC_JOB: client_continue(c); return 0;
	default: c->w->count->handshakes_failed++; return -EPROTO;
	}
}

void tls_stop(struct client *c)
{
	if (!c->ssl)
		return;
	if (c->job) {
		/* a paused signature holds a stack: let it fail and come to its end first */
		keys_forget(c);
		(void)tls_handshake(c);
	}
	ERR_clear_error();
	SSL_free(c->ssl);
	c->ssl = NULL;
}

static ssize_t result(struct client *c, int r)
{
	switch (SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE: return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN: return 0;
	default: ERR_clear_error(); return -EPIPE;
	}
}

ssize_t tls_read(struct client *c, void *p, size_t n)
{
	int r = SSL_read(c->ssl, p, (int)MIN(n, (size_t)INT32_MAX));
	return r > 0 ? r : result(c, r);
}

ssize_t tls_write(struct client *c, const void *p, size_t n)
{
	int r = SSL_write(c->ssl, p, (int)MIN(n, (size_t)INT32_MAX));
	return r > 0 ? r : result(c, r);
}
