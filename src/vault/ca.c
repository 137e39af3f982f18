#include "vault/ca.h"
#include "base/str.h"
#include "vault/seal.h"
#include "vault/secret.h"
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sodium.h>

enum { KEY_DER_MAX = 512 };
static const char key_file[] = "ca.key", cert_file[] = "ca.pem";

struct ca {
	EVP_PKEY *key;
	X509 *cert;
	char base[CA_BASE_MAX + 1];
};

#define DEFINE_CLEANUP(type, fn)                                                                   \
	static void cleanup_##type##_(type **p)                                                    \
	{                                                                                          \
		fn(*p);                                                                            \
	}
DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
DEFINE_CLEANUP(X509, X509_free)
DEFINE_CLEANUP(BIO, BIO_free_all)
#define cleanup_ssl(type) __attribute__((cleanup(cleanup_##type##_))) type *

static int ssl_failed(struct err *e, const char *what)
{
	char text[160] = "no reason given";
	unsigned long code = ERR_get_error();
	if (code)
		ERR_error_string_n(code, text, sizeof(text));
	ERR_clear_error();
	return err_set(e, ERR_INTERNAL, "cannot %s: %s", what, text);
}

bool ca_host_valid(const char *host)
{
	bool star = str_starts(host, "*.");
	const char *p = star ? host + 2 : host;
	unsigned labels = 0;
	bool numeric = false;
	if (strlen(host) > 253)
		return false;
	for (;; p++) {
		size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-");
		if (!n || n > 63 || p[0] == '-' || p[n - 1] == '-')
			return false;
		numeric = strspn(p, "0123456789") == n;
		labels++;
		p += n;
		if (!*p)
			break;
		if (*p != '.')
			return false;
	}
	return !numeric && (!star || labels >= 2); /* an all-digit last label is an address */
}

static bool add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = x && X509_add_ext(cert, x, -1);
	X509_EXTENSION_free(x);
	return ok;
}

/* What every certificate has: version 3, a random positive serial of 16 bytes, a validity that
 * starts an hour ago (clocks differ). */
static bool begin_cert(X509 *c, EVP_PKEY *pub, int days)
{
	uint8_t raw[16];
	randombytes_buf(raw, sizeof(raw));
	raw[0] = (uint8_t)((raw[0] & 0x7f) | 0x40);
	BIGNUM *bn = BN_bin2bn(raw, sizeof(raw), NULL);
	bool ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(c)) &&
		  X509_set_version(c, 2) && X509_gmtime_adj(X509_getm_notBefore(c), -3600) &&
		  X509_time_adj_ex(X509_getm_notAfter(c), days, 0, NULL) && X509_set_pubkey(c, pub);
	BN_free(bn);
	return ok;
}

static bool add_name(X509_NAME *n, const char *field, const char *value)
{
	return X509_NAME_add_entry_by_txt(
	    n, field, MBSTRING_ASC, (const unsigned char *)value, -1, -1, 0);
}

static int append_pem(X509 *cert, struct buf *ret, struct err *e)
{
	cleanup_ssl(BIO) bio = BIO_new(BIO_s_mem());
	char *text;
	if (!bio || !PEM_write_bio_X509(bio, cert))
		return ssl_failed(e, "write a certificate");
	long n = BIO_get_mem_data(bio, &text);
	return buf_add(ret, text, (size_t)n) < 0
		   ? err_set(e, ERR_NO_MEMORY, "no room for a certificate")
		   : 0;
}

static int root_make(
    const struct master *m, int dir, const char *name, struct ca *ca, struct err *e)
{
	char cn[64], tag[7], names[CA_BASE_MAX + 100];
	uint8_t raw[3];
	randombytes_buf(raw, sizeof(raw));
	hex_encode(tag, raw, sizeof(raw));
	snprintf(cn, sizeof(cn), "Ward local CA %s %s", name, tag);
	snprintf(names, sizeof(names),
	    "critical,permitted;DNS:%s,excluded;IP:0.0.0.0/0.0.0.0,excluded;IP:::/::", ca->base);
	ca->key = EVP_EC_gen("P-256");
	ca->cert = X509_new();
	if (!ca->key || !ca->cert || !begin_cert(ca->cert, ca->key, CA_ROOT_DAYS) ||
	    !add_name(X509_get_subject_name(ca->cert), "O", "Ward") ||
	    !add_name(X509_get_subject_name(ca->cert), "CN", cn) ||
	    !X509_set_issuer_name(ca->cert, X509_get_subject_name(ca->cert)) ||
	    !add_ext(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !add_ext(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !add_ext(ca->cert, ca->cert, NID_name_constraints, names) ||
	    !add_ext(ca->cert, ca->cert, NID_subject_key_identifier, "hash") ||
	    !X509_sign(ca->cert, ca->key, EVP_sha256()))
		return ssl_failed(e, "make the certificate authority");

	cleanup_secret uint8_t *der = NULL;
	int r = secret_new(KEY_DER_MAX, (void **)&der, e);
	if (r < 0)
		return r;
	int n = i2d_PrivateKey(ca->key, NULL);
	uint8_t *p = der, key[MASTER_KEY], sealed[KEY_DER_MAX + SEAL_OVERHEAD];
	if (n <= 0 || n > KEY_DER_MAX || i2d_PrivateKey(ca->key, &p) != n)
		return ssl_failed(e, "encode the authority's key");
	master_subkey(m, "own", "ca-key", "root", key);
	seal_bytes(key, "ca-key", "root", (struct bytes){ der, (size_t)n }, sealed);
	sodium_memzero(key, sizeof(key));

	struct buf pem;
	buf_init(&pem, CA_PEM_MAX);
	/* The certificate first: without the key beside it, it means nothing, and the next start
	 * makes a new pair. */
	r = append_pem(ca->cert, &pem, e);
	if (r == 0)
		r = file_write(dir, cert_file, pem.data, pem.len, 0444, e);
	if (r == 0)
		r = file_write(dir, key_file, sealed, (size_t)n + SEAL_OVERHEAD, 0400, e);
	buf_done(&pem);
	return r;
}

static int root_read(const struct master *m, int dir, const char *sealed, size_t sealed_len,
    struct ca *ca, struct err *e)
{
	cleanup_secret uint8_t *der = NULL;
	uint8_t key[MASTER_KEY];
	size_t n;
	int r = secret_new(KEY_DER_MAX + SEAL_OVERHEAD, (void **)&der, e);
	if (r < 0)
		return r;
	master_subkey(m, "own", "ca-key", "root", key);
	r = unseal_bytes(key, "ca-key", "root", (struct bytes){ sealed, sealed_len }, der, &n, e);
	sodium_memzero(key, sizeof(key));
	if (r < 0)
		return err_prefix(e, r, "%s", key_file);
	const uint8_t *p = der;
	ca->key = d2i_PrivateKey(EVP_PKEY_EC, NULL, &p, (long)n);
	if (!ca->key)
		return ssl_failed(e, "decode the authority's key");

	cleanup_free char *pem = NULL;
	size_t pem_len;
	r = file_read(dir, cert_file, CA_PEM_MAX, &pem, &pem_len, e);
	if (r < 0)
		return r;
	cleanup_ssl(BIO) bio = BIO_new_mem_buf(pem, (int)pem_len);
	ca->cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	if (!ca->cert)
		return ssl_failed(e, "read ca.pem");
	if (X509_check_private_key(ca->cert, ca->key) != 1)
		return err_set(e, ERR_INVALID, "%s does not belong to %s", cert_file, key_file);
	return 0;
}

/* Whether its constraints say this very base domain. */
static bool is_for_base(const struct ca *ca)
{
	NAME_CONSTRAINTS *nc = X509_get_ext_d2i(ca->cert, NID_name_constraints, NULL, NULL);
	bool same = false;
	if (nc && sk_GENERAL_SUBTREE_num(nc->permittedSubtrees) == 1) {
		const GENERAL_NAME *n = sk_GENERAL_SUBTREE_value(nc->permittedSubtrees, 0)->base;
		same = n->type == GEN_DNS &&
		       (size_t)ASN1_STRING_length(n->d.dNSName) == strlen(ca->base) &&
		       !memcmp(ASN1_STRING_get0_data(n->d.dNSName), ca->base, strlen(ca->base));
	}
	NAME_CONSTRAINTS_free(nc);
	return same;
}

/* For another base domain it is worth nothing. Its key goes first: a certificate without one is
 * made anew also after a crash. */
static int root_replace(
    const struct master *m, int dir, const char *name, struct ca *ca, struct err *e)
{
	EVP_PKEY_free(ca->key);
	X509_free(ca->cert);
	ca->key = NULL;
	ca->cert = NULL;
	if (unlinkat(dir, key_file, 0))
		return err_sys(e, errno, "cannot remove %s", key_file);
	return root_make(m, dir, name, ca, e);
}

int ca_open(const struct master *m, int dir, const char *name, const char *base, struct ca **ret,
    struct err *e)
{
	if (!ca_host_valid(base) || strlen(base) > CA_BASE_MAX || str_starts(base, "*."))
		return err_set(
		    e, ERR_INVALID, "\"%.100s\" is not a base domain for certificates", base);
	struct ca *ca = calloc(1, sizeof(*ca));
	if (!ca)
		return err_set(e, ERR_NO_MEMORY, "no memory for the certificate authority");
	snprintf(ca->base, sizeof(ca->base), "%s", base);
	cleanup_free char *sealed = NULL;
	size_t len;
	int r = file_read(dir, key_file, KEY_DER_MAX + SEAL_OVERHEAD, &sealed, &len, e);
	if (r == 0)
		r = root_read(m, dir, sealed, len, ca, e);
	if (r == 0 && !is_for_base(ca))
		r = root_replace(m, dir, name, ca, e);
	else if (r == -ENOENT)
		r = root_make(m, dir, name, ca, e);
	if (r < 0) {
		ca_free(ca);
		return r;
	}
	*ret = ca;
	return 0;
}

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	free(ca);
}

/* DER from a peer: parsed whole, and only of the two curves that a server here uses. */
static int parse_spki(struct bytes spki, EVP_PKEY **ret, struct err *e)
{
	const uint8_t *p = spki.base;
	cleanup_ssl(EVP_PKEY) pub = spki.len <= 1024 ? d2i_PUBKEY(NULL, &p, (long)spki.len) : NULL;
	ERR_clear_error();
	char group[32] = "";
	size_t n;
	if (!pub || p != (const uint8_t *)spki.base + spki.len || !EVP_PKEY_is_a(pub, "EC") ||
	    !EVP_PKEY_get_group_name(pub, group, sizeof(group), &n) ||
	    (!streq(group, "prime256v1") && !streq(group, "secp384r1")))
		return err_set(e, ERR_INVALID,
		    "the public key must be a DER SubjectPublicKeyInfo on P-256 or P-384");
	*ret = steal_ptr(&pub);
	return 0;
}

int ca_sign_leaf(const struct ca *ca, const char *host, struct bytes spki, int days,
    struct buf *ret, struct err *e)
{
	if (!ca_host_valid(host))
		return err_set(
		    e, ERR_INVALID, "\"%s\" is not a host name that a certificate may have", host);
	const char *bare = str_starts(host, "*.") ? host + 2 : host;
	size_t len = strlen(bare), base = strlen(ca->base);
	if (!str_ends(bare, ca->base) || (len > base && bare[len - base - 1] != '.'))
		return err_set(
		    e, ERR_FORBIDDEN, "\"%s\" is not in the base domain %s", host, ca->base);
	if (days < 1 || days > CA_LEAF_DAYS_MAX)
		return err_set(
		    e, ERR_INVALID, "a certificate lives 1 to %d days", CA_LEAF_DAYS_MAX);
	cleanup_ssl(EVP_PKEY) pub = NULL;
	int r = parse_spki(spki, &pub, e);
	if (r < 0)
		return r;
	cleanup_ssl(X509) c = X509_new();
	char san[300];
	bool named = strlen(host) <=
		     64; /* the common name's limit; a subject without one makes the SAN critical */
	snprintf(san, sizeof(san), "%sDNS:%s", named ? "" : "critical,", host);
	if (!c || !begin_cert(c, pub, days) ||
	    (named && !add_name(X509_get_subject_name(c), "CN", host)) ||
	    !X509_set_issuer_name(c, X509_get_subject_name(ca->cert)) ||
	    !add_ext(c, ca->cert, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_ext(c, ca->cert, NID_key_usage, "critical,digitalSignature") ||
	    !add_ext(c, ca->cert, NID_ext_key_usage, "serverAuth") ||
	    !add_ext(c, ca->cert, NID_subject_alt_name, san) ||
	    !add_ext(c, ca->cert, NID_subject_key_identifier, "hash") ||
	    !add_ext(c, ca->cert, NID_authority_key_identifier, "keyid:always"))
		return ssl_failed(e, "make a certificate");
	if (ASN1_TIME_compare(X509_get0_notAfter(c), X509_get0_notAfter(ca->cert)) > 0 &&
	    !X509_set1_notAfter(c, X509_get0_notAfter(ca->cert)))
		return ssl_failed(e, "bound a certificate by its authority's life");
	if (!X509_sign(c, ca->key, EVP_sha256()))
		return ssl_failed(e, "sign a certificate");
	r = append_pem(c, ret, e);
	return r < 0 ? r : append_pem(ca->cert, ret, e);
}
