/* GET /v1/logs and POST /v1/logs/ack. */
#include "base/clock.h"
#include "base/str.h"
#include "link/link.h"
#include "link/utf8.h"

enum { ANSWER_MAX = 256 * 1024 };

static bool ready(const struct link *l, uint64_t after)
{
	return l->ring.any && l->ring.next_n - 1 > after;
}

static const char *const streams[GUEST_STREAM_MAX] = { "stdout", "stderr", "system" };

static json_t *line_json(const struct ring_line *line)
{
	static char text[3 * GUEST_LINE_MAX];
	char boot[2 * GUEST_BOOT_ID_LEN + 1];
	if (line->flags & RING_GAP)
		return json_pack(
		    "{s:I, s:I}", "n", (json_int_t)line->n, "gap", (json_int_t)line->count);
	hex_encode(boot, line->boot, sizeof line->boot);
	size_t len = utf8_clean(text, line->text, line->len);
	json_t *j = json_pack("{s:I, s:I, s:s, s:s, s:s%}", "n", (json_int_t)line->n, "at_us",
	    (json_int_t)MIN(line->at_us, INT64_MAX), "stream", streams[line->stream], "boot", boot,
	    "line", text, len);
	if (j && line->flags & RING_CUT)
		(void)json_object_set_new(j, "cut", json_true());
	return j;
}

static bool add(struct buf *b, json_t *j)
{
	cleanup_json json_t *own = j;
	cleanup_free char *text = own ? json_format(own) : NULL;
	return text && buf_add_str(b, text) == 0 && buf_add_str(b, "\n") == 0;
}

static void answer(struct link *l, struct http_request *r, uint64_t after)
{
	static struct ring_line line;
	cleanup_buf struct buf b;
	uint64_t at = 0;
	buf_init(&b, ANSWER_MAX + 4 * GUEST_LINE_MAX);
	l->consumer_ms = clock_mono_ms();
	while (b.len < ANSWER_MAX && ring_next(&l->ring, after, &at, &line)) {
		uint64_t first = line.n - line.count + 1;
		if (first > after + 1 &&
		    !add(&b, json_pack("{s:I, s:I}", "n", (json_int_t)(first - 1), "gap",
				 (json_int_t)(first - 1 - after))))
			break;
		if (first <= after) /* the reader knows the beginning of this gap */
			line.count = line.n - after;
		if (!add(&b, line_json(&line)))
			break;
		after = line.n;
	}
	http_answer(r, 200, "application/x-ndjson", b.len ? b.data : "", b.len);
}

void http_get_logs(struct link *l, struct http_request *r)
{
	static const struct wait_kind kind = { ready, answer };
	l->consumer_ms = clock_mono_ms();
	wait_for(l, r, &kind);
}

void http_ack_logs(struct link *l, struct http_request *r)
{
	struct err e = { 0 };
	cleanup_json json_t *j = NULL;
	struct bytes b = http_body(r);
	int64_t upto = 0;
	int k = json_parse(b.base ? b.base : "", b.len, &j, &e);
	if (k == 0)
		k = json_need_int(j, "", "upto", 0, INT64_MAX, &upto, &e);
	if (k < 0) {
		http_answer_err(r, &e);
		return;
	}
	l->consumer_ms = clock_mono_ms();
	http_answer_empty(r, 204);
	logs_acked(l, (uint64_t)upto);
}
