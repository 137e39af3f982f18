/* The frames of an exec stream: api <-> link (after "Upgrade: ward-exec") and link <-> guest
 * (bodies of POST /exec) alike. A frame is a head of 8 bytes, then `len` bytes: type, three zeros,
 * len (big-endian). */
#pragma once
#include "base/err.h"
#include "base/util.h"
#include <string.h>

enum exec_type {
	/* to the guest */
	EXEC_OPEN =
	    1,              /* JSON, always first:
			       {"cmd":["..."],"tty":bool,"cols":n,"rows":n,"env":{},"user":"...","dir":"..."};
			       all but cmd optional */
	EXEC_STDIN = 2,     /* bytes */
	EXEC_STDIN_EOF = 3, /* empty */
	EXEC_RESIZE = 4,    /* cols, rows: two big-endian 16-bit numbers */
	EXEC_SIGNAL = 5,    /* "SIGINT" */
	/* from the guest */
	EXEC_STDOUT = 16, /* bytes; all of a terminal's output too */
	EXEC_STDERR = 17,
	EXEC_EXIT = 18,  /* always last: exit code, signal: two big-endian 32-bit numbers (signal 0:
			    exited by itself) */
	EXEC_ERROR = 19, /* last, instead: a sentence; the command was not started */
};

enum { EXEC_HEAD = 8, EXEC_PAYLOAD_MAX = 32 * 1024, EXEC_OPEN_MAX = 16 * 1024 };

static inline void exec_head_encode(uint8_t dst[static EXEC_HEAD], enum exec_type type, size_t len)
{
	memset(dst, 0, EXEC_HEAD);
	dst[0] = (uint8_t)type;
	dst[4] = (uint8_t)(len >> 24);
	dst[5] = (uint8_t)(len >> 16);
	dst[6] = (uint8_t)(len >> 8);
	dst[7] = (uint8_t)len;
}

/* -EPROTO for a type that does not go this way, a reserved byte, a length out of bounds. */
static inline int must_check exec_head_decode(
    const uint8_t src[static EXEC_HEAD], bool to_guest, enum exec_type *ret_type, size_t *ret_len)
{
	size_t len = (size_t)src[4] << 24 | (size_t)src[5] << 16 | (size_t)src[6] << 8 | src[7];
	size_t min = 0, max = EXEC_PAYLOAD_MAX;
	if (src[1] | src[2] | src[3])
		return -EPROTO;
	switch (src[0]) {
	case EXEC_OPEN: max = EXEC_OPEN_MAX; break;
	case EXEC_STDIN_EOF: max = 0; break;
	case EXEC_RESIZE: min = max = 4; break;
	case EXEC_SIGNAL: max = 16; break;
	case EXEC_EXIT: min = max = 8; break;
	case EXEC_ERROR: max = 1024; break;
	case EXEC_STDIN:
	case EXEC_STDOUT:
	case EXEC_STDERR: break;
	default: return -EPROTO;
	}
	if ((src[0] < EXEC_STDOUT) != to_guest || len < min || len > max)
		return -EPROTO;
	*ret_type = (enum exec_type)src[0];
	*ret_len = len;
	return 0;
}

/* Walks bytes that arrive in any pieces through their frames. feed looks at p[n]: *ret_used bytes
 * belong to this step, which is either a part of a head (*ret_part.base NULL) or a piece of a
 * payload (or the whole of an empty one, len 0) of the frame in ->type;
 * ->left is what is still to come of it, ->first says that the piece is its first. */
struct exec_walk {
	uint8_t head[EXEC_HEAD];
	size_t have; /* of the head */
	enum exec_type type;
	size_t len, left;
	bool to_guest, first;
};

static inline int must_check exec_walk_feed(
    struct exec_walk *w, const uint8_t *p, size_t n, size_t *ret_used, struct bytes *ret_part)
{
	*ret_part = (struct bytes){ 0 };
	*ret_used = 0;
	w->first = false;
	if (!p)
		n = 0; /* an empty buffer has no address */
	if (w->have < EXEC_HEAD) {
		size_t k = MIN(n, EXEC_HEAD - w->have);
		if (k)
			memcpy(w->head + w->have, p, k);
		w->have += k;
		*ret_used = k;
		if (w->have < EXEC_HEAD)
			return 0;
		int r = exec_head_decode(w->head, w->to_guest, &w->type, &w->len);
		if (r < 0)
			return r;
		w->left = w->len;
		p += k;
		n -= k;
		if (w->left && !n) {
			w->have = EXEC_HEAD + 1; /* the next call's piece is the first */
			return 0;
		}
		w->first = true;
	} else if (w->have == EXEC_HEAD + 1) {
		w->first = true;
	}
	size_t k = MIN(n, w->left);
	w->left -= k;
	w->have = w->left ? EXEC_HEAD : 0;
	*ret_used += k;
	*ret_part = (struct bytes){ p, k };
	return 0;
}
