#include "../unit.h"
#include "api/lease.h"
#include "base/str.h"

static void judges_by_time_and_nonce(void **state)
{
	json_t *l = lease_make(NULL, "ann", "a deploy", "01V", 1000);
	const char *nonce = json_string_value(json_object_get(l, "nonce"));
	assert_int_equal(strlen(nonce), LEASE_NONCE_LEN);
	assert_int_equal(lease_judge(l, nonce, 999), LEASE_MINE);
	assert_int_equal(lease_judge(l, NULL, 999), LEASE_HELD);
	assert_int_equal(lease_judge(l, "", 999), LEASE_HELD);
	assert_int_equal(lease_judge(l, "000000000000", 999), LEASE_HELD);
	assert_int_equal(lease_judge(l, "0", 999), LEASE_HELD);
	/* At its end it is over, also for who held it. */
	assert_int_equal(lease_judge(l, NULL, 1000), LEASE_FREE);
	assert_int_equal(lease_judge(l, nonce, 1000), LEASE_UNKNOWN);
	assert_int_equal(lease_judge(NULL, NULL, 0), LEASE_FREE);
	assert_int_equal(lease_judge(NULL, "abc", 0), LEASE_UNKNOWN);
	json_decref(l);
}

static void nonces_are_fresh_or_kept(void **state)
{
	json_t *a = lease_make(NULL, "ann", "", "01V", 1),
	       *b = lease_make(NULL, "ann", "", "01V", 1),
	       *c = lease_make("abcdefabcdef", "ann", "", "01V", 1);
	assert_false(json_equal(json_object_get(a, "nonce"), json_object_get(b, "nonce")));
	assert_string_equal(json_string_value(json_object_get(c, "nonce")), "abcdefabcdef");
	json_decref(a);
	json_decref(b);
	json_decref(c);
}

static void shows_the_members_of_the_machines_api(void **state)
{
	json_t *l = lease_make("abc", "ann", "why", "01V", 77), *shown = lease_show(l),
	       *want = json_pack("{s:s,s:i,s:s,s:s,s:s}", "nonce", "abc", "expires_at", 77, "owner",
		   "ann", "description", "why", "version", "01V");
	assert_true(json_equal(shown, want));
	json_decref(l);
	json_decref(shown);
	json_decref(want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_by_time_and_nonce),
		cmocka_unit_test(nonces_are_fresh_or_kept),
		cmocka_unit_test(shows_the_members_of_the_machines_api),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
