#include "../unit.h"
#include "base/str.h"
#include "proto/vmm_spec.h"
#include <string.h>
#include <sys/mman.h>

static struct vmm_spec good(void)
{
	struct vmm_spec s = { .version = VMM_SPEC_VERSION,
		.role = WARDD_ROLE_MONITOR,
		.engine = WARDD_ENGINE_EMULATED,
		.cpus = 2,
		.memory_mib = 512 };
	str_copy(s.machine, sizeof(s.machine), "0123456789abcd");
	str_copy(s.mac, sizeof(s.mac), "02:00:00:00:0a:ff");
	return s;
}

static void each_field_is_checked(void **state)
{
	struct err e;
	struct vmm_spec s = good();
	assert_ok(vmm_spec_check(&s, &e), e);
#define BAD(change)                                                                                \
	s = good();                                                                                \
	change;                                                                                    \
	assert_true(vmm_spec_check(&s, &e) < 0)
	BAD(s.version = 2);
	BAD(s.role = WARDD_ROLE_MAX);
	BAD(s.engine = 0);
	BAD(s.engine = 3);
	BAD(s.cpus = 0);
	BAD(s.cpus = 33);
	BAD(s.memory_mib = 63);
	BAD(s.memory_mib = 262145);
	BAD(s.machine[0] = '/');
	BAD(memset(s.machine, 'a', sizeof(s.machine))); /* does not end */
	BAD(s.machine[3] = 0);
	BAD(s.mac[2] = '-');
	BAD(s.mac[0] = 'g');
	BAD(s.mac[16] = 0);
	BAD(memset(s.mac, 'a', sizeof(s.mac)));
	BAD(s.mac[0] = ',');
#undef BAD
	/* what a link does not use is not looked at */
	s = good();
	s.role = WARDD_ROLE_LINK;
	s.cpus = s.memory_mib = s.engine = 0;
	s.mac[0] = 0;
	assert_ok(vmm_spec_check(&s, &e), e);
}

static void it_is_read_whole_or_not(void **state)
{
	struct err e;
	struct vmm_spec s = good(), back;
	int fd = memfd_create("spec", 0);
	assert_int_equal(write(fd, &s, sizeof(s) - 1), (ssize_t)sizeof(s) - 1);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(vmm_spec_read(fd, &back, &e), -ENODATA);
	assert_int_equal(pwrite(fd, &s, sizeof(s), 0), (ssize_t)sizeof(s));
	lseek(fd, 0, SEEK_SET);
	assert_ok(vmm_spec_read(fd, &back, &e), e);
	assert_memory_equal(&s, &back, sizeof(s));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_field_is_checked),
		cmocka_unit_test(it_is_read_whole_or_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
