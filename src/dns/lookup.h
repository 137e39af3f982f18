/* What a name under .internal means to one organisation. Pure. */
#pragma once
#include "proto/names_table.h"

enum { LOOKUP_ADDRESSES_MAX = 256, LOOKUP_TEXT_MAX = 16 * 1024 };

enum lookup_kind {
	LOOKUP_NOT_OURS, /* not below .internal: ask upstream */
	LOOKUP_NO_NAME,  /* there is no such name for this organisation */
	LOOKUP_FOUND,    /* the name is there; either list may be empty */
};

struct lookup {
	enum lookup_kind kind;
	struct in6_addr address[LOOKUP_ADDRESSES_MAX];
	size_t addresses;
	char text[LOOKUP_TEXT_MAX]; /* what a TXT question is answered with */
	size_t text_len;
};

/* name: lower or upper case, without the last dot. */
void lookup_name(struct lookup *l, const struct names_table *t, uint32_t network, const char *name);
