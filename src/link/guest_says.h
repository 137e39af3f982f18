/* What a guest says about itself, in hello and in events: hostile JSON, checked once, made a
 * struct. */
#pragma once
#include "link/link.h"

struct guest_state {
	enum link_phase phase; /* BOOTED, RUNNING or EXITED */
	uint64_t generation, started_at;
	struct link_exit exit;
};

struct guest_hello {
	struct guest_state state;
	char boot_id[2 * GUEST_BOOT_ID_LEN + 1], guest_key[65];
};

int guest_state_parse(struct bytes text, struct guest_state *ret, struct err *e) must_check;
int guest_hello_parse(struct bytes text, struct guest_hello *ret, struct err *e) must_check;
