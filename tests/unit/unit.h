/* What each unit test includes: cmocka in the order it needs. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Fails with the error's own sentence. */
#define assert_ok(call, e)                                                                         \
	do {                                                                                       \
		int r_ = (call);                                                                   \
		if (r_ < 0)                                                                        \
			fail_msg("%s: %d: %s", #call, r_, (e).text);                               \
	} while (0)
