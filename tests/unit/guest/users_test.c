#include "../unit.h"
#include "guest/users.h"
#include <string.h>

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "broken line\n"
			     "bad:x:notanumber:5::/:\n"
			     "app:x:1000:1000:the app:/srv/app:/bin/sh\n"
			     "1234:x:77:78::/named-by-digits:\n"
			     "postgres:x:105:111::/var/lib/postgresql:/bin/bash";
static const char group[] = "root:x:0:\napp:x:1000:\nssl-cert:x:110:postgres,app\nonly:x:9:"
			    "postgresql\npostgres:x:111:\nwheel:x:10:app\n";

static struct user find(const char *spec)
{
	struct user u;
	struct err e = { 0 };
	assert_ok(user_find(spec, passwd, group, &u, &e), e);
	return u;
}

static void refused(const char *spec)
{
	struct user u = { .uid = 42 };
	struct err e = { 0 };
	assert_int_equal(user_find(spec, passwd, group, &u, &e), -EINVAL);
	assert_int_equal(u.uid, 42);
	assert_true(strlen(e.text) > 0);
}

static void nothing_is_root(void **state)
{
	for (int i = 0; i < 2; i++) {
		struct user u = find(i ? "" : NULL);
		assert_int_equal(u.uid, 0);
		assert_int_equal(u.gid, 0);
		assert_string_equal(u.home, "/root");
	}
}

static void a_name_brings_its_groups_and_home(void **state)
{
	struct user u = find("postgres");
	assert_int_equal(u.uid, 105);
	assert_int_equal(u.gid, 111);
	assert_int_equal(u.ngroups, 1); /* "postgresql" of `only` is another name */
	assert_int_equal(u.groups[0], 110);
	assert_string_equal(u.home, "/var/lib/postgresql");
	u = find("app");
	assert_int_equal(u.ngroups, 2);
	assert_int_equal(u.groups[0], 110);
	assert_int_equal(u.groups[1], 10);
}

static void a_number_is_looked_up_too(void **state)
{
	struct user u = find("1000");
	assert_int_equal(u.uid, 1000);
	assert_int_equal(u.gid, 1000);
	assert_string_equal(u.home, "/srv/app");
	u = find("4321");
	assert_int_equal(u.uid, 4321);
	assert_int_equal(u.gid, 0);
	assert_string_equal(u.home, "/");
}

static void a_name_of_digits_is_a_name_first(void **state)
{
	struct user u = find("1234");
	assert_int_equal(u.uid, 77);
	assert_int_equal(u.gid, 78);
}

static void an_explicit_group_stands_alone(void **state)
{
	struct user u = find("app:wheel");
	assert_int_equal(u.uid, 1000);
	assert_int_equal(u.gid, 10);
	assert_int_equal(u.ngroups, 0);
	u = find("1000:5555");
	assert_int_equal(u.gid, 5555);
	u = find("app:");
	assert_int_equal(u.gid, 1000);
	u = find(":wheel");
	assert_int_equal(u.uid, 0);
	assert_int_equal(u.gid, 10);
}

static void what_is_not_there_is_refused(void **state)
{
	refused("nobody");
	refused("app:nogroup");
	refused("bad");
	refused("-1");
	refused("99999999999");
	refused("app:-1");
}

static void an_image_without_files_takes_numbers_alone(void **state)
{
	struct user u;
	struct err e = { 0 };
	assert_ok(user_find("1000:1001", NULL, NULL, &u, &e), e);
	assert_int_equal(u.uid, 1000);
	assert_int_equal(u.gid, 1001);
	assert_int_equal(user_find("app", NULL, NULL, &u, &e), -EINVAL);
	assert_ok(user_find(NULL, NULL, NULL, &u, &e), e);
	assert_string_equal(u.home, "/root");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_root),
		cmocka_unit_test(a_name_brings_its_groups_and_home),
		cmocka_unit_test(a_number_is_looked_up_too),
		cmocka_unit_test(a_name_of_digits_is_a_name_first),
		cmocka_unit_test(an_explicit_group_stands_alone),
		cmocka_unit_test(what_is_not_there_is_refused),
		cmocka_unit_test(an_image_without_files_takes_numbers_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
