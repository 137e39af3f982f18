/* What the link parses of a guest's bytes by itself: the search for the ACK (against a plain one),
 * heads of log frames, exec frames. The input is cut into pieces by its own first byte, since bytes
 * arrive in any. */
#include "proto/exec_frames.h"
#include "proto/guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const uint8_t token[GUEST_TOKEN_LEN] = { 0xf5, 0xf5, 'W' },
		     nonce[GUEST_NONCE_LEN] = { 0xf5, 'W', 'R' };

static void need(bool ok)
{
	if (!ok)
		__builtin_trap();
}

static void search(const uint8_t *p, size_t n, size_t piece)
{
	struct guest_ack_search a;
	size_t at = 0;
	guest_ack_search_init(&a, token, nonce);
	while (at < n && !a.found)
		at += guest_ack_search_feed(&a, p + at, MIN(piece, n - at));
	const uint8_t *plain = n ? memmem(p, n, &a.want, sizeof a.want) : NULL;
	need(a.found == (plain != NULL));
	need(!a.found || at == (size_t)(plain - p) + sizeof a.want);
	need(a.dropped == at);
}

static void log_heads(const uint8_t *p, size_t n)
{
	while (n >= GUEST_LOG_HEAD) {
		struct guest_log_frame f;
		uint8_t again[GUEST_LOG_HEAD];
		if (guest_log_head_decode(p, &f) < 0)
			return;
		need(f.len <= GUEST_LINE_MAX && f.stream < GUEST_STREAM_MAX);
		guest_log_head_encode(again, &f);
		need(!memcmp(again, p, sizeof again));
		size_t whole = MIN(n, GUEST_LOG_HEAD + (size_t)f.len);
		p += whole;
		n -= whole;
	}
}

/* The same frames and payload, however the bytes are cut. */
static uint64_t walk(const uint8_t *p, size_t n, size_t piece, bool to_guest, bool *ret_ok)
{
	struct exec_walk w = { .to_guest = to_guest };
	uint64_t hash = 14695981039346656037u;
	*ret_ok = true;
	for (size_t at = 0; at < n;) {
		struct bytes part;
		size_t used;
		if (exec_walk_feed(&w, p + at, MIN(piece, n - at), &used, &part) < 0) {
			*ret_ok = false;
			break;
		}
		need(used > 0 && used <= MIN(piece, n - at));
		need(!part.base || (part.len <= used && w.len <= EXEC_PAYLOAD_MAX));
		if (w.first)
			hash = (hash ^ (uint64_t)w.type ^ w.len << 8) * 1099511628211u;
		for (size_t i = 0; i < part.len; i++)
			hash = (hash ^ ((const uint8_t *)part.base)[i]) * 1099511628211u;
		at += used;
	}
	return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	size_t piece = n ? (size_t)p[0] + 1 : 1;
	search(p, n, piece);
	log_heads(p, n);
	for (int way = 0; way < 2; way++) {
		bool a, b;
		uint64_t ha = walk(p, n, piece, way, &a), hb = walk(p, n, n ? n : 1, way, &b);
		need(a == b && ha == hb);
	}
	return 0;
}
