/* Bytes of a guest made fit for JSON: what is not UTF-8, and NUL, becomes U+FFFD. */
#pragma once
#include "base/util.h"

/* dst has room for 3 * n bytes. Returns its length. */
size_t utf8_clean(char *dst, const char *src, size_t n);
