#include "../unit.h"
#include "base/buf.h"
#include <string.h>

static void grows_to_its_maximum_and_no_further(void **s)
{
	struct buf b;
	buf_init(&b, 1000);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_add(&b, "x", 1), 0);
	assert_int_equal(buf_add(&b, "x", 1), -EMSGSIZE);
	assert_int_equal(b.len, 1000);
	assert_int_equal(b.data[1000], 0);
	assert_int_equal(buf_add(&b, "", SIZE_MAX), -EMSGSIZE);
	buf_done(&b);
	buf_done(&b);
}

static void printf_leaves_content_when_it_does_not_fit(void **s)
{
	cleanup_buf struct buf b;
	buf_init(&b, 5);
	assert_int_equal(buf_printf(&b, "%d", 123), 0);
	assert_int_equal(buf_printf(&b, "%s", "456"), -EMSGSIZE);
	assert_string_equal(b.data, "123");
}

static void consume_drops_the_front(void **s)
{
	cleanup_buf struct buf b;
	buf_init(&b, 100);
	assert_int_equal(buf_add_str(&b, "hello world"), 0);
	buf_consume(&b, 6);
	assert_string_equal(b.data, "world");
	buf_consume(&b, 99);
	assert_int_equal(b.len, 0);
	char *p = buf_steal(&b);
	assert_string_equal(p, "");
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_to_its_maximum_and_no_further),
		cmocka_unit_test(printf_leaves_content_when_it_does_not_fit),
		cmocka_unit_test(consume_drops_the_front),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
