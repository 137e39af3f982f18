/* The vault as its peers see it: rights, the token, and what works while it is sealed. */
#include "base/str.h"
#include "folder.h"
#include "vault/rights.h"
#include "vault/token.h"
#include "vault/vault.h"
#include <signal.h>
#include <sodium.h>
#include <sys/resource.h>
#include <sys/stat.h>

static uint8_t out[IPC_BYTES_MAX];
static char text[240];
static size_t out_len;
static struct err e;

static struct vault *open_vault(const struct folder *f, bool key_file)
{
	static char path[64];
	struct vault *v;
	snprintf(path, sizeof(path), "%s/master.key", f->path);
	struct vault_config c = { .instance = "unit",
		.base_domain = "ward.localhost",
		.key_file = key_file ? path : NULL,
		.leaf_days = 90 };
	assert_ok(vault_new(dup(f->fd), &c, &v, &e), e);
	return v;
}

static int ask(struct vault *v, enum daemon who, enum vault_type op, const char *purpose,
    const char *id, const void *tail, size_t n)
{
	out_len = 0;
	return vault_do(
	    v, who, op, purpose, id, (struct bytes){ tail, n }, out, &out_len, text, &e);
}

static void the_api_seals_and_the_agent_unseals(void **s)
{
	struct vault *v = open_vault(*s, true);
	assert_ok(ask(v, DAEMON_API, VAULT_SEAL, "app-env", "app1", "secret", 6), e);
	uint8_t sealed[128];
	size_t n = out_len;
	memcpy(sealed, out, n);
	assert_ok(ask(v, DAEMON_AGENT, VAULT_UNSEAL, "app-env", "app1", sealed, n), e);
	assert_int_equal(out_len, 6);
	assert_memory_equal(out, "secret", 6);
	assert_int_equal(ask(v, DAEMON_AGENT, VAULT_UNSEAL, "app-env", "app2", sealed, n), -EPERM);
	assert_int_equal(
	    ask(v, DAEMON_CONTROL, VAULT_UNSEAL, "app-env", "app1", sealed, n), -EPERM);
	assert_int_equal(ask(v, DAEMON_AGENT, VAULT_SEAL, "app-env", "app1", "x", 1), -EPERM);
	static const char big[VAULT_BYTES_MAX];
	assert_int_equal(
	    ask(v, DAEMON_API, VAULT_SEAL, "app-env", "app1", big, sizeof(big)), -EMSGSIZE);
	vault_free(v);
}

static void derived_keys_stay_the_same_and_differ_by_id(void **s)
{
	uint8_t a[32], b[32], c[32];
	struct vault *v = open_vault(*s, true);
	assert_ok(ask(v, DAEMON_WARDD, VAULT_DERIVE, "store-password", "api", NULL, 0), e);
	assert_int_equal(out_len, 32);
	memcpy(a, out, 32);
	assert_ok(ask(v, DAEMON_WARDD, VAULT_DERIVE, "store-password", "agent", NULL, 0), e);
	memcpy(b, out, 32);
	vault_free(v);
	v = open_vault(*s, true);
	assert_ok(ask(v, DAEMON_WARDD, VAULT_DERIVE, "store-password", "api", NULL, 0), e);
	memcpy(c, out, 32);
	vault_free(v);
	assert_memory_equal(a, c, 32);
	assert_memory_not_equal(a, b, 32);
}

static void the_bootstrap_token_is_told_once_and_kept_as_a_hash(void **s)
{
	struct folder *f = *s;
	struct vault *v = open_vault(f, true);
	cleanup_free char *token = NULL, *kept = NULL, *again = NULL;
	size_t n;
	struct stat st;
	assert_ok(file_read(f->fd, "bootstrap-token", 100, &token, &n, &e), e);
	assert_int_equal(n, TOKEN_TEXT + 1);
	assert_true(str_starts(token, "ward_"));
	assert_int_equal(fstatat(f->fd, "bootstrap-token", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0400);
	assert_ok(file_read(f->fd, "token.json", 1000, &kept, NULL, &e), e);
	assert_null(memmem(kept, strlen(kept), token + 5, 20));

	assert_ok(ask(v, DAEMON_API, VAULT_TOKEN_CHECK, "", "", token, TOKEN_TEXT), e);
	assert_string_equal(text, "bootstrap");
	assert_int_equal(ask(v, DAEMON_EDGE, VAULT_TOKEN_CHECK, "", "", token, TOKEN_TEXT), -EPERM);
	assert_int_equal(ask(v, DAEMON_API, VAULT_TOKEN_CHECK, "", "", "", 0), -EACCES);
	assert_int_equal(
	    ask(v, DAEMON_API, VAULT_TOKEN_CHECK, "", "", token, TOKEN_TEXT - 1), -EACCES);
	assert_int_equal(
	    ask(v, DAEMON_API, VAULT_TOKEN_CHECK, "", "", token, TOKEN_TEXT + 1), -EACCES);
	for (size_t i = 0; i < TOKEN_TEXT; i++) {
		token[i] ^= 1;
		assert_int_equal(
		    ask(v, DAEMON_API, VAULT_TOKEN_CHECK, "", "", token, TOKEN_TEXT), -EACCES);
		token[i] ^= 1;
	}
	vault_free(v);
	/* whoever reads it removes it; it stays valid, and is not told again */
	assert_int_equal(unlinkat(f->fd, "bootstrap-token", 0), 0);
	v = open_vault(f, true);
	assert_ok(ask(v, DAEMON_API, VAULT_TOKEN_CHECK, "", "", token, TOKEN_TEXT), e);
	assert_int_equal(file_read(f->fd, "bootstrap-token", 100, &again, &n, &e), -ENOENT);
	vault_free(v);
}

static void a_crash_between_token_and_hash_loses_nothing(void **s)
{
	struct folder *f = *s;
	vault_free(open_vault(f, true));
	assert_int_equal(unlinkat(f->fd, "token.json", 0), 0);
	struct vault *v = open_vault(f, true);
	cleanup_free char *token = NULL;
	assert_ok(file_read(f->fd, "bootstrap-token", 100, &token, NULL, &e), e);
	assert_ok(ask(v, DAEMON_API, VAULT_TOKEN_CHECK, "", "", token, TOKEN_TEXT), e);
	vault_free(v);
}

static void while_sealed_it_only_tells_so_and_unlocks_for_root(void **s)
{
	struct vault *v = open_vault(*s, false);
	static const char phrase[] = "a long enough passphrase";
	assert_ok(ask(v, DAEMON_API, VAULT_STATUS, "", "", NULL, 0), e);
	assert_string_equal(text, "sealed");
	assert_int_equal(
	    ask(v, DAEMON_WARDD, VAULT_DERIVE, "store-password", "api", NULL, 0), -EACCES);
	assert_int_equal(e.code, ERR_SEALED);
	assert_int_equal(ask(v, DAEMON_API, VAULT_UNLOCK, "", "", phrase, strlen(phrase)), -EPERM);
	assert_ok(ask(v, DAEMON_WARDD, VAULT_UNLOCK, "", "", phrase, strlen(phrase)), e);
	assert_ok(ask(v, DAEMON_WARDD, VAULT_DERIVE, "store-password", "api", NULL, 0), e);
	vault_free(v);
	v = open_vault(*s, false);
	assert_int_equal(
	    ask(v, DAEMON_WARDD, VAULT_DERIVE, "store-password", "api", NULL, 0), -EACCES);
	assert_ok(ask(v, DAEMON_EDGE, VAULT_CA, "", "", NULL, 0), e); /* public */
	assert_int_equal(
	    ask(v, DAEMON_WARDD, VAULT_UNLOCK, "", "", "another passphrase", 18), -EACCES);
	assert_ok(ask(v, DAEMON_WARDD, VAULT_UNLOCK, "", "", phrase, strlen(phrase)), e);
	vault_free(v);
}

/* A disk that is full after any number of bytes of any file: the first start fails cleanly or
 * works, and the next one, with room again, works. */
static void a_full_disk_at_the_first_start_spoils_nothing(void **s)
{
	struct folder *f = *s;
	char path[64];
	struct rlimit before;
	snprintf(path, sizeof(path), "%s/master.key", f->path);
	struct vault_config c = { .instance = "unit",
		.base_domain = "ward.localhost",
		.key_file = path,
		.leaf_days = 90 };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	unsigned failed = 0;
	for (rlim_t room = 0; room < 1200; room += 20) {
		struct vault *v = NULL;
		assert_int_equal(
		    setrlimit(RLIMIT_FSIZE, &(struct rlimit){ room, before.rlim_max }), 0);
		int r = vault_new(dup(f->fd), &c, &v, &e);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
		if (r < 0) {
			assert_int_not_equal(e.code, ERR_NONE);
			failed++;
		} else {
			vault_free(v);
		}
		v = open_vault(f, true);
		cleanup_free char *token = NULL;
		assert_ok(file_read(f->fd, "bootstrap-token", 100, &token, NULL, &e), e);
		assert_ok(ask(v, DAEMON_API, VAULT_TOKEN_CHECK, "", "", token, TOKEN_TEXT), e);
		assert_ok(ask(v, DAEMON_API, VAULT_CA, "", "", NULL, 0), e);
		vault_free(v);
		static const char *const files[] = { "master.key", "vault.json", "token.json",
			"bootstrap-token", "ca.key", "ca.pem" };
		for (size_t i = 0; i < countof(files); i++)
			unlinkat(f->fd, files[i], 0);
	}
	assert_in_range(failed, 5, 59);
}

static void only_who_stands_in_the_table_may(void **s)
{
	/* strangers and daemons that hold nothing get nothing at all */
	static const enum daemon none[] = { DAEMON_MAX, DAEMON_ETCD, DAEMON_DNS, DAEMON_IMAGE_FETCH,
		DAEMON_IMAGE_CONVERT, DAEMON_NET, DAEMON_CONTROL, DAEMON_VAULT };
	static const char *const purposes[] = { "", "app-env", "secret", "log-key",
		"store-password", "tls-key", "ca-key", "host-state", "route-table", "guest-token" };
	for (size_t i = 0; i < countof(none); i++)
		for (int op = VAULT_SEAL; op <= VAULT_UNLOCK; op++)
			for (size_t p = 0; p < countof(purposes); p++)
				assert_false(vault_may(none[i], (enum vault_type)op, purposes[p]));
	for (int d = 0; d < DAEMON_MAX; d++) {
		assert_true(vault_may((enum daemon)d, VAULT_UNLOCK, "") == (d == DAEMON_WARDD));
		assert_true(
		    vault_may((enum daemon)d, VAULT_SIGN_LEAF, "") == (d == DAEMON_EDGE_KEYS));
		assert_true(vault_may((enum daemon)d, VAULT_TOKEN_CHECK, "") == (d == DAEMON_API));
		assert_true(vault_may((enum daemon)d, VAULT_DERIVE, "store-password") ==
			    (d == DAEMON_WARDD));
		assert_true(
		    vault_may((enum daemon)d, VAULT_UNSEAL, "tls-key") == (d == DAEMON_EDGE_KEYS));
		assert_false(vault_may((enum daemon)d, VAULT_UNSEAL, "ca-key"));
		assert_false(vault_may((enum daemon)d, VAULT_UNSEAL, ""));
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		T(the_api_seals_and_the_agent_unseals),
		T(derived_keys_stay_the_same_and_differ_by_id),
		T(the_bootstrap_token_is_told_once_and_kept_as_a_hash),
		T(a_crash_between_token_and_hash_loses_nothing),
		T(a_full_disk_at_the_first_start_spoils_nothing),
		T(while_sealed_it_only_tells_so_and_unlocks_for_root),
		T(only_who_stands_in_the_table_may),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
