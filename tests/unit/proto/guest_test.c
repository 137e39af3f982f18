#include "../unit.h"
#include "base/util.h"
#include "proto/exec_frames.h"
#include "proto/guest.h"
#include <string.h>

static const uint8_t token[GUEST_TOKEN_LEN] = "token", nonce[GUEST_NONCE_LEN] = "nonce",
		     other[GUEST_NONCE_LEN] = "other";

static void a_sync_is_known_at_the_start_of_a_read_alone(void **state)
{
	struct guest_sync s;
	uint8_t buf[2 * GUEST_SYNC_LEN] = { 0 }, got[GUEST_NONCE_LEN];
	guest_sync_make(&s, token, nonce);
	memcpy(buf, &s, sizeof s);
	assert_true(guest_sync_at(buf, sizeof s, token, got));
	assert_memory_equal(got, nonce, sizeof nonce);
	assert_false(guest_sync_at(buf, sizeof s - 1, token, got));
	memmove(buf + 1, buf, sizeof s);
	assert_false(guest_sync_at(buf, sizeof buf, token, got));
	assert_false(guest_sync_at(&s, sizeof s, (const uint8_t[GUEST_TOKEN_LEN]){ 1 }, got));
}

/* The ACK behind stale bytes of every length, arriving in pieces of every size, also behind a part
 * of itself and another connection's. */
static void the_ack_is_found_behind_anything(void **state)
{
	struct guest_sync ack, stale;
	uint8_t buf[512];
	guest_ack_make(&ack, token, nonce);
	guest_ack_make(&stale, token, other);
	for (size_t before = 0; before < 140; before++)
		for (size_t piece = 1; piece < 80; piece += 7) {
			struct guest_ack_search a;
			size_t n = 0, used = 0;
			memset(buf, 'x', sizeof buf);
			/* a beginning of the ACK, then (from 70 on) a whole stale one, then the
			 * right one */
			memcpy(buf, &ack, MIN(before, 63));
			if (before >= 70)
				memcpy(buf + before - 64, &stale, 64);
			memcpy(buf + before, &ack, sizeof ack);
			memset(buf + before + sizeof ack, 'y', 10);
			guest_ack_search_init(&a, token, nonce);
			while (!a.found && n < before + sizeof ack + 10) {
				size_t k = MIN(piece, before + sizeof ack + 10 - n);
				used = guest_ack_search_feed(&a, buf + n, k);
				assert_true(a.found || used == k);
				n += used;
			}
			assert_true(a.found);
			assert_int_equal(n, before + sizeof ack);
			assert_int_equal(a.dropped, n);
		}
}

static void log_heads(void **state)
{
	const struct guest_log_frame f = { GUEST_LOG_LINE, GUEST_STDERR, GUEST_LOG_CUT, 16384,
		0x123456789abcdef0, 42 };
	struct guest_log_frame g;
	uint8_t h[GUEST_LOG_HEAD], bad[GUEST_LOG_HEAD];
	guest_log_head_encode(h, &f);
	assert_int_equal(guest_log_head_decode(h, &g), 0);
	assert_int_equal(g.type, f.type);
	assert_int_equal(g.stream, f.stream);
	assert_int_equal(g.flags, f.flags);
	assert_int_equal(g.len, f.len);
	assert_true(g.n == f.n && g.at_us == f.at_us);
	static const struct {
		size_t at;
		uint8_t value;
	} wrong[] = { { 0, 0 }, { 0, 3 }, { 1, 3 }, { 2, 2 }, { 3, 1 }, { 4, 1 }, { 7, 0x80 },
		{ 0, GUEST_LOG_HELLO } };
	for (size_t i = 0; i < countof(wrong); i++) {
		memcpy(bad, h, sizeof bad);
		bad[wrong[i].at] = wrong[i].value;
		assert_int_equal(guest_log_head_decode(bad, &g), -EPROTO);
	}
	memcpy(bad, h, sizeof bad);
	memset(bad + 8, 0, 8); /* lines count from 1 */
	assert_int_equal(guest_log_head_decode(bad, &g), -EPROTO);
	uint8_t a[GUEST_LOG_ACK_LEN];
	uint64_t n = 0;
	guest_log_ack_encode(a, 77);
	assert_int_equal(guest_log_ack_decode(a, &n), 0);
	assert_int_equal(n, 77);
	a[0] ^= 1;
	assert_int_equal(guest_log_ack_decode(a, &n), -EPROTO);
}

static void exec_frames_in_any_pieces(void **state)
{
	uint8_t text[128];
	size_t n = 0;
	exec_head_encode(text, EXEC_STDIN, 5);
	memcpy(text + 8, "hello", 5);
	exec_head_encode(text + 13, EXEC_STDIN_EOF, 0);
	exec_head_encode(text + 21, EXEC_SIGNAL, 6);
	memcpy(text + 29, "SIGINT", 6);
	n = 35;
	for (size_t piece = 1; piece <= n; piece++) {
		struct exec_walk w = { .to_guest = true };
		char got[64] = "";
		size_t ends = 0;
		for (size_t at = 0; at < n;) {
			size_t used;
			struct bytes part;
			size_t k = MIN(piece, n - at);
			assert_int_equal(exec_walk_feed(&w, text + at, k, &used, &part), 0);
			assert_true(used > 0 && used <= k);
			if (part.base) {
				if (w.first)
					snprintf(got + strlen(got), sizeof got - strlen(got),
					    "[%d]", (int)w.type);
				snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s",
				    (int)part.len, (const char *)part.base);
				ends += !w.left;
			}
			at += used;
		}
		assert_string_equal(got, "[2]hello[3][5]SIGINT");
		assert_int_equal(ends, 3);
	}
}

static void exec_frames_that_are_none(void **state)
{
	static const struct {
		uint8_t head[EXEC_HEAD];
		bool to_guest;
	} bad[] = {
		{ { 0 }, true },
		{ { EXEC_STDOUT }, true },
		{ { EXEC_STDIN }, false },
		{ { EXEC_STDIN, 1 }, true },
		{ { EXEC_STDIN_EOF, 0, 0, 0, 0, 0, 0, 1 }, true },
		{ { EXEC_RESIZE, 0, 0, 0, 0, 0, 0, 3 }, true },
		{ { EXEC_EXIT, 0, 0, 0, 0, 0, 0, 9 }, false },
		{ { EXEC_STDOUT, 0, 0, 0, 0, 0, 0x80, 1 }, false },
		{ { EXEC_STDOUT, 0, 0, 0, 0x80 }, false },
	};
	for (size_t i = 0; i < countof(bad); i++) {
		enum exec_type type;
		size_t len;
		assert_int_equal(
		    exec_head_decode(bad[i].head, bad[i].to_guest, &type, &len), -EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sync_is_known_at_the_start_of_a_read_alone),
		cmocka_unit_test(the_ack_is_found_behind_anything),
		cmocka_unit_test(log_heads),
		cmocka_unit_test(exec_frames_in_any_pieces),
		cmocka_unit_test(exec_frames_that_are_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
