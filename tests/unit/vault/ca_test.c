#include "base/str.h"
#include "folder.h"
#include "vault/ca.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sodium.h>

#define BASE "ward.localhost"

static struct master *open_master(const struct folder *f)
{
	struct err e;
	struct master *m;
	char path[64];
	snprintf(path, sizeof(path), "%s/master.key", f->path);
	assert_ok(master_new(f->fd, MASTER_KEY_FILE, &m, &e), e);
	assert_ok(master_open_key_file(m, path, &e), e);
	return m;
}

static size_t public_key(const char *group, uint8_t der[600])
{
	EVP_PKEY *k = group ? EVP_EC_gen(group) : EVP_RSA_gen(2048);
	uint8_t *p = der;
	int n = i2d_PUBKEY(k, &p);
	assert_true(n > 0 && n <= 600);
	EVP_PKEY_free(k);
	return (size_t)n;
}

static X509 *cert(BIO *chain)
{
	X509 *c = PEM_read_bio_X509(chain, NULL, NULL, NULL);
	assert_non_null(c);
	return c;
}

/* As a client does: the root is trusted, the leaf must verify for this host. */
static int verify(X509 *root, X509 *leaf, const char *host)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_STORE_add_cert(store, root);
	X509_STORE_CTX_init(ctx, store, leaf, NULL);
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set1_host(param, host, 0);
	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	X509_verify_cert(ctx);
	int r = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return r;
}

static void a_leaf_verifies_for_its_name_and_no_other(void **s)
{
	struct folder *f = *s;
	struct err e;
	struct ca *ca;
	struct master *m = open_master(f);
	uint8_t der[600];
	size_t n = public_key("P-256", der);
	struct buf pem;
	buf_init(&pem, 2 * CA_PEM_MAX);
	assert_ok(ca_open(m, f->fd, "unit", BASE, &ca, &e), e);
	ca_free(ca);
	assert_ok(ca_open(m, f->fd, "unit", BASE, &ca, &e), e); /* from the disk */
	assert_ok(ca_sign_leaf(ca, "*.ward.localhost", (struct bytes){ der, n }, 90, &pem, &e), e);
	BIO *chain = BIO_new_mem_buf(pem.data, (int)pem.len);
	X509 *leaf = cert(chain), *root = cert(chain);
	assert_int_equal(verify(root, leaf, "web.ward.localhost"), X509_V_OK);
	assert_int_equal(verify(root, leaf, "a.web.ward.localhost"), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_int_equal(verify(root, leaf, "ward.localhost"), X509_V_ERR_HOSTNAME_MISMATCH);

	int days, seconds;
	assert_true(ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(leaf)));
	assert_in_range(days, 89, 90);
	assert_true(X509_get0_serialNumber(leaf)->length == 16);
	/* the file for everyone is the root of the chain */
	cleanup_free char *text = NULL;
	size_t len;
	assert_ok(file_read(f->fd, "ca.pem", CA_PEM_MAX, &text, &len, &e), e);
	assert_true(str_ends(pem.data, text));
	X509_free(leaf);
	X509_free(root);
	BIO_free(chain);
	buf_done(&pem);
	ca_free(ca);
	master_free(m);
}

static void the_root_key_on_disk_is_sealed(void **s)
{
	struct folder *f = *s;
	struct err e;
	struct ca *ca;
	struct master *m = open_master(f);
	assert_ok(ca_open(m, f->fd, "unit", BASE, &ca, &e), e);
	ca_free(ca);
	cleanup_free char *raw = NULL;
	size_t n;
	assert_ok(file_read(f->fd, "ca.key", 4096, &raw, &n, &e), e);
	const uint8_t *p = (const uint8_t *)raw;
	assert_null(d2i_AutoPrivateKey(NULL, &p, (long)n));
	raw[n / 2] ^= 1;
	assert_ok(file_write(f->fd, "ca.key", raw, n, 0400, &e), e);
	assert_int_equal(ca_open(m, f->fd, "unit", BASE, &ca, &e), -EPERM);
	master_free(m);
}

static void bad_names_and_keys_are_refused(void **s)
{
	struct folder *f = *s;
	struct err e;
	struct ca *ca;
	struct master *m = open_master(f);
	struct buf pem;
	buf_init(&pem, CA_PEM_MAX);
	assert_ok(ca_open(m, f->fd, "unit", BASE, &ca, &e), e);
	uint8_t der[600];
	size_t n = public_key("P-256", der);
	static const char *const bad[] = { "", ".", "a..b", "-a.b", "a-.b", "A.b", "a b", "*",
		"*.localhost", "a.*.b", "10.0.0.1", "a.b.", "a\n.b", "evil.example", "localhost",
		"xward.localhost", "*.localhost", "a,DNS:evil.example", "a_b.c",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b" };
	for (size_t i = 0; i < countof(bad); i++)
		if (ca_sign_leaf(ca, bad[i], (struct bytes){ der, n }, 90, &pem, &e) == 0)
			fail_msg("signed for \"%s\"", bad[i]);
	static const char *const good[] = { "localhost", "a.ward.localhost", "x-1.ward.localhost",
		"*.a.b", "1.example" };
	for (size_t i = 0; i < countof(good); i++)
		assert_true(ca_host_valid(good[i]));
	for (size_t cut = 0; cut < n; cut++)
		assert_true(ca_sign_leaf(ca, "a.ward.localhost", (struct bytes){ der, cut }, 90,
				&pem, &e) < 0);
	der[n] = 0;
	assert_true(
	    ca_sign_leaf(ca, "a.ward.localhost", (struct bytes){ der, n + 1 }, 90, &pem, &e) < 0);
	n = public_key(NULL, der);
	assert_true(
	    ca_sign_leaf(ca, "a.ward.localhost", (struct bytes){ der, n }, 90, &pem, &e) < 0);
	n = public_key("P-521", der);
	assert_true(
	    ca_sign_leaf(ca, "a.ward.localhost", (struct bytes){ der, n }, 90, &pem, &e) < 0);
	n = public_key("P-384", der);
	assert_int_equal(pem.len, 0);
	assert_true(
	    ca_sign_leaf(ca, "a.ward.localhost", (struct bytes){ der, n }, 0, &pem, &e) < 0);
	assert_ok(ca_sign_leaf(ca, "a.ward.localhost", (struct bytes){ der, n }, 1, &pem, &e), e);
	buf_done(&pem);
	ca_free(ca);
	master_free(m);
}

/* Whose key is stolen is still no authority for the rest of the world. */
static void the_root_is_bound_to_its_base_domain(void **s)
{
	struct folder *f = *s;
	struct err e;
	struct ca *ca;
	struct master *m = open_master(f);
	uint8_t der[600];
	size_t n = public_key("P-256", der);
	struct buf pem;
	X509 *leaf[2], *root[2];
	static const char *const base[] = { BASE, "evil.example" };
	for (int i = 0; i < 2; i++) { /* the second replaces the first */
		buf_init(&pem, 2 * CA_PEM_MAX);
		assert_ok(ca_open(m, f->fd, "unit", base[i], &ca, &e), e);
		ca_free(ca);
		assert_ok(ca_open(m, f->fd, "unit", base[i], &ca, &e), e);
		assert_ok(ca_sign_leaf(ca, base[i], (struct bytes){ der, n }, 90, &pem, &e), e);
		BIO *chain = BIO_new_mem_buf(pem.data, (int)pem.len);
		leaf[i] = cert(chain);
		root[i] = cert(chain);
		assert_int_equal(verify(root[i], leaf[i], base[i]), X509_V_OK);
		BIO_free(chain);
		buf_done(&pem);
		ca_free(ca);
	}
	int critical = 0;
	NAME_CONSTRAINTS *nc = X509_get_ext_d2i(root[0], NID_name_constraints, &critical, NULL);
	assert_non_null(nc);
	assert_int_equal(critical, 1);
	assert_int_equal(NAME_CONSTRAINTS_check(leaf[0], nc), X509_V_OK);
	assert_int_equal(NAME_CONSTRAINTS_check(leaf[1], nc), X509_V_ERR_PERMITTED_VIOLATION);
	assert_true(ca_open(m, f->fd, "unit", "a,b", &ca, &e) < 0);
	NAME_CONSTRAINTS_free(nc);
	for (int i = 0; i < 2; i++) {
		X509_free(leaf[i]);
		X509_free(root[i]);
	}
	master_free(m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		T(a_leaf_verifies_for_its_name_and_no_other),
		T(the_root_is_bound_to_its_base_domain),
		T(the_root_key_on_disk_is_sealed),
		T(bad_names_and_keys_are_refused),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
