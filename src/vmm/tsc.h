/* The host's time stamp counter, which a guest under TCG sees as its own. */
#pragma once
#include "base/util.h"

/* Its frequency in kHz, measured within a few parts in a million in 30 ms; 0: it is not usable. */
uint64_t tsc_khz(void);
