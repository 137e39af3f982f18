/* What a machine's link tells telemetry: whatever it is, what is kept are whole JSON lines with
 * growing numbers, within the bound. */
#include "base/json.h"
#include "base/str.h"
#include "telemetry/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_kept(const struct buf *out, const struct taken *t, uint64_t after)
{
	uint32_t lines = 0;
	int64_t last = (int64_t)after;
	for (const char *p = out->data, *end; p && p < out->data + out->len; p = end + 1) {
		json_t *j = NULL;
		struct err e;
		end = memchr(p, '\n', out->len - (size_t)(p - out->data));
		if (!end || json_parse(p, (size_t)(end - p), &j, &e) < 0)
			abort();
		int64_t n = json_integer_value(json_object_get(j, "n"));
		if (n <= last || !json_is_string(json_object_get(j, "message")) ||
		    strcmp(json_string_value(json_object_get(j, "app_id")), "app1"))
			abort();
		last = n;
		lines++;
		json_decref(j);
	}
	if (lines != t->lines || (lines && (int64_t)t->last_n != last))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct owner who = { "0123456789abcd", "web", "app1", "local" };
	enum { MAX_BYTES = 4096 };
	struct taken t;
	struct err e;
	cleanup_buf struct buf out;
	buf_init(&out, MAX_BYTES + 1);
	uint64_t after = size ? data[0] % 4 : 0;
	const char *text = (const char *)data + (size ? 1 : 0);
	size_t len = size ? size - 1 : 0;
	int r = lines_take(text, len, &who, after, MAX_BYTES, &out, &t, &e);
	(void)r;
	if (out.len > MAX_BYTES)
		abort();
	check_kept(&out, &t, after);
	return 0;
}
