/* Guest memory must not reach a disk unencrypted (design rule 11). */
#pragma once
#include "base/err.h"
#include "base/util.h"

/* The first swap area that is neither compressed memory nor on an encrypted device, into dst; ""
 * when there is none. */
int swap_find_plain(char *dst, size_t size, struct err *e) must_check;
/* The same from the text of /proc/swaps; `safe` tells whether a device keeps its content secret. */
void swap_parse(const char *swaps, bool (*safe)(const char *path), char *dst, size_t size);
