#include "../unit.h"
#include "base/str.h"

static void numbers_are_strict(void **s)
{
	uint64_t v = 7;
	assert_true(str_u64("18446744073709551615", UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x1",
		"18446744073709551616", "99999999999999999999" };
	for (size_t i = 0; i < countof(bad); i++)
		assert_false(str_u64(bad[i], UINT64_MAX, &v));
	assert_false(str_u64("11", 10, &v));
	assert_true(v == UINT64_MAX);
}

static void names_have_no_surprises(void **s)
{
	static const char *const good[] = { "a", "app-1", "0", "a-b-c" };
	static const char *const bad[] = { "", "-a", "a-", "a--b", "A", "a.b", "a/b", "a_b",
		"abcdefghijk" };
	for (size_t i = 0; i < countof(good); i++)
		assert_true(str_is_name(good[i], 10));
	for (size_t i = 0; i < countof(bad); i++)
		assert_false(str_is_name(bad[i], 10));
}

static void hex_and_base64_round_trip_and_refuse_rubbish(void **s)
{
	uint8_t in[5] = { 0, 1, 0xfe, 0xff, 0x80 }, out[5];
	char text[11];
	hex_encode(text, in, 5);
	assert_string_equal(text, "0001feff80");
	assert_true(hex_decode(out, 5, text));
	assert_memory_equal(in, out, 5);
	assert_false(hex_decode(out, 5, "0001feff8"));
	assert_false(hex_decode(out, 5, "0001feff8g"));
	assert_false(str_is_hex("ABCDEF", 6));
	cleanup_free char *b64 = base64_encode(in, 5);
	assert_int_equal(base64_decode(out, 5, b64, strlen(b64)), 5);
	assert_memory_equal(in, out, 5);
	assert_int_equal(base64_decode(out, 4, b64, strlen(b64)), -1);
	assert_int_equal(base64_decode(out, 5, "AAA", 3), -1);
	assert_int_equal(base64_decode(out, 5, "AA!=", 4), -1);
}

static void distance_counts_edits_and_swaps(void **s)
{
	assert_int_equal(str_distance("internal_port", "intenal_port"), 1);
	assert_int_equal(str_distance("ab", "ba"), 1);
	assert_int_equal(str_distance("", "abc"), 3);
	assert_int_equal(str_distance("kitten", "sitting"), 3);
	assert_int_equal(str_distance("same", "same"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_strict),
		cmocka_unit_test(names_have_no_surprises),
		cmocka_unit_test(hex_and_base64_round_trip_and_refuse_rubbish),
		cmocka_unit_test(distance_counts_edits_and_swaps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
