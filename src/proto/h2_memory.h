/* A cap on what nghttp2 may allocate for one session, at either end of the guest protocol: a peer
 * cannot make the other grow. */
#pragma once
#include "base/util.h"
#include <nghttp2/nghttp2.h>

struct h2_memory {
	size_t used, peak, max;
};

nghttp2_mem h2_memory_hooks(struct h2_memory *m, size_t max);
