#include "../unit.h"
#include "proto/ipc_wardd.h"
#include "supervisor/settings.h"

static void only_names_whole_words(void **state)
{
	struct settings s = { .only = NULL };
	assert_true(settings_wants(&s, "vault"));
	s.only = "vault,edge-keys,api";
	assert_true(settings_wants(&s, "vault"));
	assert_true(settings_wants(&s, "edge-keys"));
	assert_true(settings_wants(&s, "api"));
	assert_false(settings_wants(&s, "edge"));
	assert_false(settings_wants(&s, "ap"));
	assert_false(settings_wants(&s, "apis"));
	s.only = "";
	assert_false(settings_wants(&s, "vault"));
}

static void emulation_must_be_named(void **state)
{
	static const struct {
		enum platform_engine file;
		bool emulated, kvm;
	} cases[] = { { PLATFORM_ENGINE_AUTO, false, true }, { PLATFORM_ENGINE_KVM, false, true },
		{ PLATFORM_ENGINE_EMULATED, true, false } };
	for (size_t i = 0; i < countof(cases); i++) {
		struct settings s = { .platform.machines.engine = cases[i].file };
		assert_int_equal(
		    settings_allows_engine(&s, WARDD_ENGINE_EMULATED), cases[i].emulated);
		assert_int_equal(settings_allows_engine(&s, WARDD_ENGINE_KVM), cases[i].kvm);
		assert_false(settings_allows_engine(&s, 0));
		assert_false(settings_allows_engine(&s, 77));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_names_whole_words),
		cmocka_unit_test(emulation_must_be_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
