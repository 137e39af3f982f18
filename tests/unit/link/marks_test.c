#include "../unit.h"
#include "link/marks.h"
#include <string.h>

static void counted_and_told_once(void **state)
{
	struct marks m = { 0 };
	json_t *j = marks_json(&m);
	assert_int_equal(json_array_size(j), 0);
	json_decref(j);
	assert_true(marks_add(&m, MARK_FLOOD, "first"));
	for (int i = 0; i < 1000; i++)
		assert_false(marks_add(&m, MARK_FLOOD, "again"));
	assert_true(marks_add(&m, MARK_LIE, "other"));
	j = marks_json(&m);
	assert_int_equal(json_array_size(j), 2);
	json_t *flood = json_array_get(j, 0);
	assert_string_equal(json_string_value(json_object_get(flood, "mark")), "flood");
	assert_int_equal(json_integer_value(json_object_get(flood, "count")), 1001);
	assert_string_equal(json_string_value(json_object_get(flood, "text")), "again");
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(counted_and_told_once) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
