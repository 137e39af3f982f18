#include "proto/guest.h"
#include "base/err.h"
#include <string.h>

static const uint8_t sync_magic[8] = { 0xf5, 'W', 'R', 'D', 'S', 'Y', 'N', '1' };
static const uint8_t ack_magic[8] = { 0xf5, 'W', 'R', 'D', 'A', 'C', 'K', '1' };
static const uint8_t log_ack_magic[8] = { 0xf6, 'W', 'L', 'O', 'G', 'A', 'C', 'K' };

static void make(
    struct guest_sync *s, const uint8_t magic[8], const uint8_t *token, const uint8_t *nonce)
{
	*s = (struct guest_sync){ 0 };
	memcpy(s->magic, magic, sizeof s->magic);
	memcpy(s->token, token, sizeof s->token);
	memcpy(s->nonce, nonce, sizeof s->nonce);
}

void guest_sync_make(struct guest_sync *s, const uint8_t token[static GUEST_TOKEN_LEN],
    const uint8_t nonce[static GUEST_NONCE_LEN])
{
	make(s, sync_magic, token, nonce);
}

void guest_ack_make(struct guest_sync *s, const uint8_t token[static GUEST_TOKEN_LEN],
    const uint8_t nonce[static GUEST_NONCE_LEN])
{
	make(s, ack_magic, token, nonce);
}

bool guest_sync_at(const void *p, size_t n, const uint8_t token[static GUEST_TOKEN_LEN],
    uint8_t nonce[static GUEST_NONCE_LEN])
{
	struct guest_sync s;
	if (n < sizeof s)
		return false;
	memcpy(&s, p, sizeof s);
	if (memcmp(s.magic, sync_magic, sizeof s.magic) != 0 ||
	    memcmp(s.token, token, sizeof s.token) != 0)
		return false;
	memcpy(nonce, s.nonce, sizeof s.nonce);
	return true;
}

void guest_ack_search_init(struct guest_ack_search *a, const uint8_t token[static GUEST_TOKEN_LEN],
    const uint8_t nonce[static GUEST_NONCE_LEN])
{
	*a = (struct guest_ack_search){ 0 };
	make(&a->want, ack_magic, token, nonce);
}

size_t guest_ack_search_feed(struct guest_ack_search *a, const uint8_t *p, size_t n)
{
	const uint8_t *want = (const uint8_t *)&a->want;
	size_t i = 0;
	while (i < n && !a->found) {
		uint8_t c = p[i++];
		/* The magic's first byte could appear again in the random part, so a mismatch falls
		 * back to the longest prefix that is also a suffix of what was matched. It is found
		 * by comparing: at most 64 bytes, and rare. */
		while (a->matched && want[a->matched] != c) {
			size_t k = a->matched - 1;
			while (k && memcmp(want, want + a->matched - k, k) != 0)
				k--;
			a->matched = k;
		}
		if (want[a->matched] == c)
			a->matched++;
		a->found = a->matched == sizeof a->want;
	}
	a->dropped += i;
	return i;
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get(const uint8_t *p, int n)
{
	uint64_t v = 0;
	while (n--)
		v = v << 8 | p[n];
	return v;
}

void guest_log_head_encode(uint8_t dst[static GUEST_LOG_HEAD], const struct guest_log_frame *f)
{
	dst[0] = f->type;
	dst[1] = f->stream;
	dst[2] = f->flags;
	dst[3] = 0;
	put32(dst + 4, f->len);
	put64(dst + 8, f->n);
	put64(dst + 16, f->at_us);
}

int guest_log_head_decode(const uint8_t src[static GUEST_LOG_HEAD], struct guest_log_frame *ret)
{
	struct guest_log_frame f = {
		.type = src[0],
		.stream = src[1],
		.flags = src[2],
		.len = (uint32_t)get(src + 4, 4),
		.n = get(src + 8, 8),
		.at_us = get(src + 16, 8),
	};
	if (src[3] || f.stream >= GUEST_STREAM_MAX || f.flags & ~GUEST_LOG_CUT)
		return -EPROTO;
	switch (f.type) {
	case GUEST_LOG_HELLO:
		if (f.len != GUEST_BOOT_ID_LEN || f.flags)
			return -EPROTO;
		break;
	case GUEST_LOG_LINE:
		if (f.len > GUEST_LINE_MAX || !f.n)
			return -EPROTO;
		break;
	default: return -EPROTO;
	}
	*ret = f;
	return 0;
}

void guest_log_ack_encode(uint8_t dst[static GUEST_LOG_ACK_LEN], uint64_t n)
{
	memcpy(dst, log_ack_magic, sizeof log_ack_magic);
	put64(dst + 8, n);
}

int guest_log_ack_decode(const uint8_t src[static GUEST_LOG_ACK_LEN], uint64_t *ret_n)
{
	if (memcmp(src, log_ack_magic, sizeof log_ack_magic) != 0)
		return -EPROTO;
	*ret_n = get(src + 8, 8);
	return 0;
}
