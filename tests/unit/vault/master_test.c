#include "folder.h"
#include "vault/master.h"
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

static void subkey(const struct master *m, uint8_t k[MASTER_KEY])
{
	master_subkey(m, "seal", "app-env", "a1", k);
}

static void key_path(const struct folder *f, char path[64])
{
	snprintf(path, 64, "%s/master.key", f->path);
}

static void a_key_file_is_made_once_and_opens_the_same_master_again(void **s)
{
	struct folder *f = *s;
	struct err e;
	struct master *m;
	char path[64];
	uint8_t a[MASTER_KEY], b[MASTER_KEY];
	key_path(f, path);
	assert_ok(master_new(f->fd, MASTER_KEY_FILE, &m, &e), e);
	assert_false(master_is_open(m));
	assert_string_equal(master_state(m), "sealed");
	assert_ok(master_open_key_file(m, path, &e), e);
	assert_true(master_is_open(m));
	subkey(m, a);
	master_free(m);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0400);

	assert_ok(master_new(f->fd, MASTER_KEY_FILE, &m, &e), e);
	assert_ok(master_open_key_file(m, path, &e), e);
	subkey(m, b);
	master_free(m);
	assert_memory_equal(a, b, sizeof(a));
}

static void a_lost_key_file_is_never_replaced(void **s)
{
	struct folder *f = *s;
	struct err e;
	struct master *m;
	char path[64];
	key_path(f, path);
	assert_ok(master_new(f->fd, MASTER_KEY_FILE, &m, &e), e);
	assert_ok(master_open_key_file(m, path, &e), e);
	master_free(m);
	assert_int_equal(unlink(path), 0);
	assert_ok(master_new(f->fd, MASTER_KEY_FILE, &m, &e), e);
	assert_int_equal(master_open_key_file(m, path, &e), -ENOENT);
	assert_non_null(strstr(e.next, "restore"));
	assert_int_not_equal(access(path, F_OK), 0);
	master_free(m);
}

static void a_wrong_or_readable_key_file_is_refused(void **s)
{
	struct folder *f = *s;
	struct err e;
	struct master *m;
	char path[64];
	uint8_t other[MASTER_KEY] = { 9 };
	key_path(f, path);
	assert_ok(master_new(f->fd, MASTER_KEY_FILE, &m, &e), e);
	assert_ok(master_open_key_file(m, path, &e), e);
	master_free(m);
	assert_ok(master_new(f->fd, MASTER_KEY_FILE, &m, &e), e);
	assert_int_equal(chmod(path, 0440), 0);
	assert_int_equal(master_open_key_file(m, path, &e), -EPERM);
	assert_ok(file_write(AT_FDCWD, path, other, sizeof(other), 0400, &e), e);
	assert_int_equal(master_open_key_file(m, path, &e), -EACCES);
	assert_ok(file_write(AT_FDCWD, path, other, 31, 0400, &e), e);
	assert_int_equal(master_open_key_file(m, path, &e), -EINVAL);
	assert_false(master_is_open(m));
	master_free(m);
}

static void a_passphrase_is_set_once_and_only_it_opens(void **s)
{
	struct folder *f = *s;
	struct err e;
	struct master *m;
	uint8_t a[MASTER_KEY], b[MASTER_KEY];
	assert_ok(master_new(f->fd, MASTER_PASSPHRASE, &m, &e), e);
	assert_int_equal(master_unlock(m, (struct bytes){ "short", 5 }, &e), -EINVAL);
	assert_ok(master_unlock(m, (struct bytes){ "correct horse battery", 21 }, &e), e);
	subkey(m, a);
	master_free(m);
	assert_ok(master_new(f->fd, MASTER_PASSPHRASE, &m, &e), e);
	assert_int_equal(
	    master_unlock(m, (struct bytes){ "correct horse batterz", 21 }, &e), -EACCES);
	assert_false(master_is_open(m));
	assert_ok(master_unlock(m, (struct bytes){ "correct horse battery", 21 }, &e), e);
	assert_string_equal(master_state(m), "unsealed: passphrase");
	subkey(m, b);
	master_free(m);
	assert_memory_equal(a, b, sizeof(a));
	/* and the other way to open it is refused, not tried */
	assert_int_equal(master_new(f->fd, MASTER_KEY_FILE, &m, &e), -EEXIST);
}

static void a_damaged_state_file_is_an_error_and_not_a_new_vault(void **s)
{
	struct folder *f = *s;
	struct err e;
	struct master *m;
	static const char *const bad[] = { "", "{", "{\"v\":2}",
		"{\"v\":1,\"mode\":\"key-file\",\"wrapped\":\"AAAA\"}",
		"{\"v\":1,\"mode\":\"tpm\",\"wrapped\":\"\"}" };
	for (size_t i = 0; i < countof(bad); i++) {
		assert_ok(file_write(f->fd, "vault.json", bad[i], strlen(bad[i]), 0400, &e), e);
		assert_true(master_new(f->fd, MASTER_KEY_FILE, &m, &e) < 0);
	}
}

static void subkeys_differ_in_use_purpose_and_id(void **s)
{
	struct folder *f = *s;
	struct err e;
	struct master *m;
	char path[64];
	key_path(f, path);
	assert_ok(master_new(f->fd, MASTER_KEY_FILE, &m, &e), e);
	assert_ok(master_open_key_file(m, path, &e), e);
	static const char *const names[][3] = { { "seal", "app-env", "a1" },
		{ "derive", "app-env", "a1" }, { "seal", "app-en", "va1" },
		{ "seal", "app-env", "a2" }, { "seal", "log-key", "a1" }, { "seal", "", "" } };
	uint8_t k[countof(names)][MASTER_KEY];
	for (size_t i = 0; i < countof(names); i++) {
		master_subkey(m, names[i][0], names[i][1], names[i][2], k[i]);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(k[i], k[j], MASTER_KEY);
	}
	master_free(m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, folder_make, folder_remove)
	const struct CMUnitTest tests[] = {
		T(a_key_file_is_made_once_and_opens_the_same_master_again),
		T(a_lost_key_file_is_never_replaced),
		T(a_wrong_or_readable_key_file_is_refused),
		T(a_passphrase_is_set_once_and_only_it_opens),
		T(a_damaged_state_file_is_an_error_and_not_a_new_vault),
		T(subkeys_differ_in_use_purpose_and_id),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
