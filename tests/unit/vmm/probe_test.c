#include "../unit.h"
#include "vmm/probe.h"
#include <string.h>

/* Whatever /dev/kvm is here, the answer is whole and agrees with itself. */
static void it_always_answers(void **state)
{
	struct probe p;
	memset(&p, 0xff, sizeof(p));
	probe_kvm(&p);
	assert_true(strlen(p.how) > 0 && strlen(p.how) < sizeof(p.how));
	assert_int_equal(p.usable, p.instructions_per_second >= PROBE_USABLE_PER_SECOND);
	if (access("/dev/kvm", R_OK | W_OK) == 0)
		assert_non_null(strstr(p.how,
		    p.instructions_per_second ? "instructions in 64-bit mode" : "could not"));
	else
		assert_non_null(strstr(p.how, "could not open /dev/kvm"));
	print_message("%s: %llu a second\n", p.how, (unsigned long long)p.instructions_per_second);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(it_always_answers) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
