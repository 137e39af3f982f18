#include "../unit.h"
#include "vault/seal.h"
#include <string.h>

static const uint8_t key[SEAL_KEY] = { 1, 2, 3 };
static const char text[] = "postgres://user:secret@db";

static void what_was_sealed_comes_back(void **s)
{
	uint8_t sealed[sizeof(text) + SEAL_OVERHEAD], plain[sizeof(sealed)];
	size_t n = 0;
	struct err e;
	seal_bytes(key, "app-env", "a1", (struct bytes){ text, sizeof(text) }, sealed);
	assert_ok(unseal_bytes(key, "app-env", "a1", (struct bytes){ sealed, sizeof(sealed) },
		      plain, &n, &e),
	    e);
	assert_int_equal(n, sizeof(text));
	assert_memory_equal(plain, text, sizeof(text));
}

static void nothing_at_all_can_be_sealed(void **s)
{
	uint8_t sealed[SEAL_OVERHEAD], plain[SEAL_OVERHEAD];
	size_t n = 9;
	struct err e;
	seal_bytes(key, "app-env", "a1", (struct bytes){ "", 0 }, sealed);
	assert_ok(unseal_bytes(key, "app-env", "a1", (struct bytes){ sealed, sizeof(sealed) },
		      plain, &n, &e),
	    e);
	assert_int_equal(n, 0);
}

static void the_same_text_is_never_sealed_alike(void **s)
{
	uint8_t a[sizeof(text) + SEAL_OVERHEAD], b[sizeof(a)];
	seal_bytes(key, "app-env", "a1", (struct bytes){ text, sizeof(text) }, a);
	seal_bytes(key, "app-env", "a1", (struct bytes){ text, sizeof(text) }, b);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_null(memmem(a, sizeof(a), text, 8));
}

static void every_changed_bit_is_noticed(void **s)
{
	uint8_t sealed[sizeof(text) + SEAL_OVERHEAD], plain[sizeof(sealed)];
	seal_bytes(key, "app-env", "a1", (struct bytes){ text, sizeof(text) }, sealed);
	for (size_t i = 0; i < sizeof(sealed) * 8; i++) {
		size_t n = 12345;
		struct err e;
		sealed[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_true(unseal_bytes(key, "app-env", "a1",
				(struct bytes){ sealed, sizeof(sealed) }, plain, &n, &e) < 0);
		assert_int_equal(n, 12345);
		sealed[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

static void every_cut_is_noticed(void **s)
{
	uint8_t sealed[sizeof(text) + SEAL_OVERHEAD], plain[sizeof(sealed)];
	seal_bytes(key, "app-env", "a1", (struct bytes){ text, sizeof(text) }, sealed);
	for (size_t len = 0; len < sizeof(sealed); len++) {
		size_t n;
		struct err e;
		assert_true(unseal_bytes(key, "app-env", "a1", (struct bytes){ sealed, len }, plain,
				&n, &e) < 0);
	}
}

static void another_purpose_id_or_key_does_not_open_it(void **s)
{
	uint8_t sealed[sizeof(text) + SEAL_OVERHEAD], plain[sizeof(sealed)],
	    other[SEAL_KEY] = { 1, 2, 4 };
	struct bytes b = { sealed, sizeof(sealed) };
	size_t n;
	struct err e;
	seal_bytes(key, "app-env", "a1", (struct bytes){ text, sizeof(text) }, sealed);
	assert_int_equal(unseal_bytes(key, "app-env", "a2", b, plain, &n, &e), -EPERM);
	assert_int_equal(unseal_bytes(key, "tls-key", "a1", b, plain, &n, &e), -EPERM);
	/* the same letters, cut elsewhere */
	assert_int_equal(unseal_bytes(key, "app-enva", "1", b, plain, &n, &e), -EPERM);
	assert_int_equal(unseal_bytes(other, "app-env", "a1", b, plain, &n, &e), -EPERM);
	assert_ok(unseal_bytes(key, "app-env", "a1", b, plain, &n, &e), e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_sealed_comes_back),
		cmocka_unit_test(nothing_at_all_can_be_sealed),
		cmocka_unit_test(the_same_text_is_never_sealed_alike),
		cmocka_unit_test(every_changed_bit_is_noticed),
		cmocka_unit_test(every_cut_is_noticed),
		cmocka_unit_test(another_purpose_id_or_key_does_not_open_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
