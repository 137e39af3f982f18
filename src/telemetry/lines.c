#include "telemetry/lines.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

enum { LINE_MAX_BYTES = 256 * 1024 };

static json_t *kept(
    const struct owner *who, uint64_t n, uint64_t at_us, const char *stream, const char *level)
{
	char at[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(at, at_us);
	return json_pack("{ss ss ss ss ss ss sI ss}", "at", at, "app", who->app, "app_id",
	    who->app_id, "machine", who->machine, "region", who->region, "stream", stream, "n",
	    (json_int_t)n, "level", level);
}

/* One line of the link's to one kept line; *ret NULL for a repetition. */
static int take_one(const json_t *j, const struct owner *who, uint64_t after, uint64_t *ret_n,
    uint64_t *ret_at_us, json_t **ret, struct err *e)
{
	static const char *const streams[] = { "stdout", "stderr", "system" };
	int64_t n, gap = 0, at_us = 0;
	const char *stream = NULL, *line = NULL, *boot = "";
	bool cut = false;
	int r = json_need_int(j, "", "n", 1, INT64_MAX, &n, e);
	if (r == 0)
		r = json_opt_int(j, "", "gap", 1, INT64_MAX, &gap, e);
	if (r < 0)
		return r;
	*ret_n = (uint64_t)n;
	*ret = NULL;
	if ((uint64_t)n <= after)
		return 0;
	if (gap) {
		/* of the lines that are missing, those that came before are not */
		char text[96];
		uint64_t missing = MIN((uint64_t)gap, (uint64_t)n - after);
		snprintf(text, sizeof(text),
		    "%llu lines were lost: they came faster than they could be kept",
		    (unsigned long long)missing);
		*ret_at_us = clock_wall_us();
		*ret = kept(who, (uint64_t)n, *ret_at_us, "system", "warn");
		if (!*ret || json_object_set_new(*ret, "gap", json_integer((json_int_t)missing)) ||
		    json_object_set_new(*ret, "message", json_string(text)))
			return err_set(e, ERR_NO_MEMORY, "no memory for a log line");
		return 0;
	}
	if ((r = json_need_int(j, "", "at_us", 0, 253402300799999999, &at_us, e)) < 0 ||
	    (r = json_need_str(j, "", "stream", &stream, e)) < 0 ||
	    (r = json_need_str(j, "", "line", &line, e)) < 0 ||
	    (r = json_opt_str(j, "", "boot", &boot, e)) < 0 ||
	    (r = json_opt_bool(j, "", "cut", &cut, e)) < 0)
		return r;
	size_t k = 0;
	while (k < countof(streams) && !streq(stream, streams[k]))
		k++;
	if (k == countof(streams) || strlen(boot) > 64)
		return err_set(e, ERR_PROTOCOL, "a log line of an unknown stream");
	*ret_at_us = (uint64_t)at_us;
	*ret = kept(who, (uint64_t)n, (uint64_t)at_us, streams[k], "info");
	if (!*ret || json_object_set(*ret, "message", json_object_get(j, "line")) ||
	    (*boot && json_object_set_new(*ret, "boot", json_string(boot))) ||
	    (cut && json_object_set_new(*ret, "cut", json_true())))
		return err_set(e, ERR_NO_MEMORY, "no memory for a log line");
	return 0;
}

int lines_take(const char *text, size_t len, const struct owner *who, uint64_t after, size_t max,
    struct buf *out, struct taken *ret, struct err *e)
{
	struct taken t = { 0 };
	uint64_t last = 0;
	int r = 0;
	for (const char *end; len && (end = memchr(text, '\n', len));) {
		size_t n = (size_t)(end - text);
		cleanup_json json_t *j = NULL, *line = NULL;
		uint64_t number = 0, at_us = 0;
		r = n <= LINE_MAX_BYTES ? json_parse(text, n, &j, e)
					: err_set(e, ERR_PROTOCOL, "a log line of %zu bytes", n);
		if (r == 0)
			r = take_one(j, who, after, &number, &at_us, &line, e);
		if (r == 0 && number <= last)
			r = err_set(e, ERR_PROTOCOL, "log line %llu came after %llu",
			    (unsigned long long)number, (unsigned long long)last);
		if (r < 0)
			break;
		last = number;
		if (line) {
			cleanup_free char *kept_text = json_format(line);
			size_t need = kept_text ? strlen(kept_text) + 1 : 0;
			if (kept_text && out->len + need > max)
				break;
			if (!kept_text || buf_add(out, kept_text, need - 1) < 0 ||
			    buf_add(out, "\n", 1) < 0) {
				r = err_set(e, ERR_NO_MEMORY, "no memory for log lines");
				break;
			}
			t.first_n = t.first_n ? t.first_n : number;
			t.last_n = number;
			t.at_us = at_us;
			t.lines++;
		}
		len -= n + 1;
		text = end + 1;
	}
	*ret = t;
	return r < 0 ? err_prefix(e, r, "the link of machine %s", who->machine) : 0;
}
