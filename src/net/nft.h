/* Applies nftables text, all of it or nothing. */
#pragma once
#include "base/buf.h"

/* text is one transaction. */
int nft_apply(const char *text, struct err *e) must_check;
