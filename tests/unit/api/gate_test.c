/* The gate, with a vault made by the test: it counts how often it is asked. */
#include "../unit.h"
#include "api/gate.h"
#include "api/vault.h"
#include "base/str.h"

static unsigned asked;
static bool vault_down, vault_hangs;

/* In place of the real one: libproto's is not linked when this is. */
int vault_call_within(const char *run, unsigned bound_ms, enum vault_type type, const char *purpose,
    const char *id, struct bytes tail, struct buf *ret, char text[240], struct err *e)
{
	asked++;
	if (vault_hangs) {
		usleep(VAULT_SLOW_MS * 1000);
		return err_set(e, ERR_TIMEOUT, "the vault did not answer");
	}
	assert_int_equal(type, VAULT_TOKEN_CHECK);
	if (vault_down)
		return err_set(e, ERR_SEALED, "the vault is sealed");
	if (tail.len != 6 || memcmp(tail.base, "secret", 6) != 0)
		return err_set(e, ERR_UNAUTHENTICATED, "this token is not known");
	str_copy(text, 240, "bootstrap");
	return 0;
}

static struct gate g;
static struct err e;
static char who[GATE_WHO_MAX];

static int setup(void **state)
{
	asked = 0;
	vault_down = false;
	assert_ok(gate_init(&g, "/nowhere", &e), e);
	return 0;
}

static int try(const char *header, uint64_t now)
{
	memset(who, 0, sizeof(who));
	return gate_check(&g, header, RIGHT_CHANGE, now, who, &e);
}

static void refuses_without_a_good_token(void **state)
{
	static const char *const bad[] = { NULL, "", "Bearer", "Bearer ", "Basic c2VjcmV0",
		"secret", "Bearer other", "Bearer secret ", "FlyV1 " };
	for (size_t i = 0; i < countof(bad); i++) {
		assert_true(try(bad[i], 1) < 0);
		assert_int_equal(e.code, ERR_UNAUTHENTICATED);
		assert_string_equal(e.text, "Authenticate: token validation error");
		assert_true(strlen(err_next_step(&e)) > 0);
		assert_string_equal(who, "");
	}
}

static void takes_each_form_of_the_header(void **state)
{
	static const char *const good[] = { "Bearer secret", "bearer secret", "FlyV1 secret",
		"Bearer FlyV1 secret" };
	for (size_t i = 0; i < countof(good); i++) {
		assert_ok(try(good[i], 1), e);
		assert_string_equal(who, "bootstrap");
	}
	assert_int_equal(asked, 1); /* one token, asked once */
}

static void asks_again_when_the_answer_is_old(void **state)
{
	assert_ok(try("Bearer secret", 1000), e);
	assert_ok(try("Bearer secret", 1000 + GATE_TTL_MS - 1), e);
	assert_int_equal(asked, 1);
	assert_ok(try("Bearer secret", 1000 + GATE_TTL_MS), e);
	assert_int_equal(asked, 2);
	/* What was refused is asked each time: a token may become valid. */
	assert_true(try("Bearer other", 9000) < 0);
	assert_true(try("Bearer other", 9001) < 0);
	assert_int_equal(asked, 4);
}

static void fails_closed_when_the_vault_is_away(void **state)
{
	vault_down = true;
	assert_true(try("Bearer secret", 1) < 0);
	assert_int_equal(e.code, ERR_SEALED);
	assert_int_equal(err_code_status(e.code), 503);
}

static void the_cache_is_bounded(void **state)
{
	char header[64];
	assert_ok(try("Bearer secret", 1), e);
	for (int i = 0; i < 10 * GATE_CACHE; i++) {
		snprintf(header, sizeof(header), "Bearer %d", i);
		assert_true(try(header, 2) < 0);
	}
	asked = 0;
	assert_ok(try("Bearer secret", 3), e);
	assert_int_equal(asked, 0); /* refused tokens take no place */
}

/* One client's call may wait for it, not every client's. The last test: the vault rests after it.
 */
static void a_vault_that_hangs_is_asked_once(void **state)
{
	assert_ok(try("Bearer secret", 1), e);
	vault_hangs = true;
	asked = 0;
	for (int i = 0; i < 5; i++) {
		assert_true(try("Bearer other", 2) < 0);
		assert_int_equal(e.code, ERR_UNAVAILABLE);
	}
	assert_int_equal(asked, 1);
	assert_ok(try("Bearer secret", 3), e);
	vault_hangs = false;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		T(refuses_without_a_good_token),
		T(takes_each_form_of_the_header),
		T(asks_again_when_the_answer_is_old),
		T(fails_closed_when_the_vault_is_away),
		T(the_cache_is_bounded),
		T(a_vault_that_hangs_is_asked_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
