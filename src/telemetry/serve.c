/* GET /v1/logs?app=&machine=&after=&follow=&limit=: the kept lines, each with its cursor, as a
 * stream. A cursor is "<epoch>-<line>"; the line after it comes next, also after this program was
 * started anew. What the bound has removed in between is told as a line. */
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "telemetry/telemetry.h"

struct reader {
	struct telemetry *t;
	struct reader *prev, *next;
	struct http_request *r;
	char app_id[64], machine[MACHINE_ID_LEN + 2];
	bool follow, from_cursor;
	uint32_t epoch;  /* of the cursor */
	uint64_t line;   /* the next to tell */
	uint64_t left;   /* lines that may still be told; UINT64_MAX: any number */
	bool placed;     /* line is meant in the log that is open now */
	struct buf text; /* the block being told, from `at` on */
	size_t at;
	uint64_t text_line; /* the number of the line at `at` */
};

static void gone(void *arg)
{
	struct reader *d = arg;
	if (d->prev)
		d->prev->next = d->next;
	else
		d->t->readers = d->next;
	if (d->next)
		d->next->prev = d->prev;
	d->t->nreaders--;
	buf_done(&d->text);
	free(d);
}

static int write_line(
    struct reader *d, const struct applog *a, uint64_t line, const char *rest, size_t len)
{
	struct buf out;
	buf_init(&out, len + 64);
	int r = buf_printf(&out, "{\"cursor\":\"%08x-%llu\",", a->epoch, (unsigned long long)line);
	if (r == 0)
		r = buf_add(&out, rest + 1, len - 1); /* without its "{" */
	if (r == 0)
		r = buf_add(&out, "\n", 1);
	if (r == 0)
		r = http_stream_write(d->r, out.data, out.len);
	buf_done(&out);
	return r;
}

/* A line of our own, in the place of lines that are gone or cannot be read. Its cursor is that of
 * the last of them. */
static int write_gap(
    struct reader *d, const struct applog *a, uint64_t count, uint64_t last, const char *why)
{
	char at[CLOCK_RFC3339_SIZE], text[120];
	clock_format_rfc3339(at, clock_wall_us());
	snprintf(text, sizeof(text), "%llu lines %s", (unsigned long long)count, why);
	json_t *j = json_pack("{ss ss ss sI ss ss}", "at", at, "app_id", a->app_id, "stream",
	    "system", "gap", (json_int_t)count, "level", "warn", "message", text);
	cleanup_free char *rest = j ? json_format(j) : NULL;
	json_decref(j);
	return rest ? write_line(d, a, last, rest, strlen(rest)) : -ENOMEM;
}

/* Where to begin, once the log is there: after the cursor, or at the last `limit` lines, or at the
 * beginning. */
static void place(struct reader *d, const struct applog *a)
{
	if (!d->placed && !d->from_cursor)
		d->line = d->left == UINT64_MAX
			      ? applog_first_line(a)
			      : applog_tail(a, d->machine[0] ? d->machine : NULL, d->left);
	else if (!d->placed && (d->epoch != a->epoch || d->line > a->next_line))
		d->line = 1; /* a cursor of a log that was lost: all there is now is new */
	if (!d->placed && !d->from_cursor && d->follow)
		d->left = UINT64_MAX; /* the limit was for the past */
	d->placed = true;
}

/* Unseals the next block of this reader. 0: none; 1: there is text, or a gap was told. */
static int load(struct reader *d, const struct applog *a)
{
	struct applog_block b;
	struct err e;
	uint64_t first = applog_first_line(a);
	if (d->line < first) {
		int r = write_gap(
		    d, a, first - d->line, first - 1, "were removed: the log has a bound");
		if (r == 0)
			d->line = first;
		return r < 0 ? r : 1;
	}
	if (applog_hole(a, d->line, &first)) {
		int r = write_gap(d, a, first - d->line, first - 1, "are missing on disk");
		if (r == 0)
			d->line = first;
		return r < 0 ? r : 1;
	}
	if (!applog_next(a, d->line, d->machine[0] ? d->machine : NULL, &b)) {
		d->line = a->next_line; /* what others' lines are between is not waited for */
		return 0;
	}
	buf_reset(&d->text);
	if (applog_read(a, &b, &d->text, &e) < 0) {
		uint64_t from = MAX(b.first_line, d->line), end = b.first_line + b.lines;
		log_err(&e, "reading the log of app %s", a->app_id);
		int r =
		    write_gap(d, a, end - from, end - 1, "are damaged on disk and cannot be read");
		if (r == 0)
			d->line = end;
		return r < 0 ? r : 1;
	}
	d->at = 0;
	d->text_line = b.first_line;
	while (d->text_line < d->line && d->at < d->text.len) {
		const char *end = memchr(d->text.data + d->at, '\n', d->text.len - d->at);
		d->at = end ? (size_t)(end - d->text.data) + 1 : d->text.len;
		d->text_line++;
	}
	d->line = MAX(d->line, b.first_line);
	return 1;
}

/* Tells what there is, until the client's buffer is full, the limit is reached or nothing is left.
 */
static void tell(struct reader *d)
{
	struct applog *a = NULL;
	struct err e;
	int r = hub_applog(d->t, d->app_id, false, &a, &e);
	if (a)
		place(d, a);
	while (r >= 0 && a && d->left) {
		if (d->at >= d->text.len) {
			r = load(d, a);
			if (r <= 0)
				break;
			continue;
		}
		const char *line = d->text.data + d->at,
			   *end = memchr(line, '\n', d->text.len - d->at);
		size_t len = end ? (size_t)(end - line) : d->text.len - d->at;
		r = len > 2 ? write_line(d, a, d->line, line, len) : 0;
		if (r < 0)
			break;
		d->at += len + 1;
		d->line++;
		d->left -= d->left != UINT64_MAX;
	}
	if (r == -EAGAIN)
		return; /* `ready` goes on */
	if (r < 0 || !d->follow || !d->left)
		http_stream_end(d->r);
}

static void ready(void *arg)
{
	tell(arg);
}

void serve_wake(struct telemetry *t)
{
	for (struct reader *d = t->readers, *next; d; d = next) {
		next = d->next;
		tell(d);
	}
}

static bool parse_cursor(struct reader *d, const char *text)
{
	uint8_t raw[4];
	uint64_t line;
	char epoch[9];
	if (strlen(text) < 10 || text[8] != '-' || !str_u64(text + 9, INT64_MAX - 1, &line))
		return false;
	snprintf(epoch, sizeof(epoch), "%.8s", text);
	if (!str_is_hex(epoch, 8) || !hex_decode(raw, sizeof(raw), epoch))
		return false;
	d->epoch = (uint32_t)raw[0] << 24 | (uint32_t)raw[1] << 16 | (uint32_t)raw[2] << 8 | raw[3];
	d->line = line + 1;
	d->from_cursor = true;
	return true;
}

static int parse(struct reader *d, const struct http_request *r, struct err *e)
{
	const char *app = http_query(r, "app"), *machine = http_query(r, "machine"),
		   *after = http_query(r, "after"), *follow = http_query(r, "follow"),
		   *limit = http_query(r, "limit");
	d->left = UINT64_MAX;
	if (!app || !str_is_name(app, sizeof(d->app_id) - 1))
		return err_set(e, ERR_INVALID, "app must be an app's id");
	str_copy(d->app_id, sizeof(d->app_id), app);
	if (machine &&
	    (!id_is_machine(machine) || !str_copy(d->machine, sizeof(d->machine), machine)))
		return err_set(e, ERR_INVALID, "machine must be a machine's id");
	if (after && !parse_cursor(d, after))
		return err_set(e, ERR_INVALID, "after must be a cursor from an earlier line");
	if (follow && !streq(follow, "0") && !streq(follow, "1") && !streq(follow, "true") &&
	    !streq(follow, "false"))
		return err_set(e, ERR_INVALID, "follow must be 0 or 1");
	d->follow = follow && (streq(follow, "1") || streq(follow, "true"));
	if (limit && (!str_u64(limit, 1000000, &d->left) || !d->left))
		return err_set(e, ERR_INVALID, "limit must be 1 to 1000000");
	return 0;
}

static void start_reading(struct telemetry *t, struct http_request *r)
{
	struct err e;
	if (t->nreaders >= READERS_MAX) {
		err_set(&e, ERR_UNAVAILABLE, "%d readers follow logs already", READERS_MAX);
		http_answer_err(r, &e);
		return;
	}
	struct reader *d = calloc(1, sizeof(*d));
	int k = d ? parse(d, r, &e) : err_set(&e, ERR_NO_MEMORY, "no memory for a reader");
	if (k < 0 || !d) {
		free(d);
		http_answer_err(r, &e);
		return;
	}
	d->t = t;
	d->r = r;
	buf_init(&d->text, BLOCK_MAX);
	d->next = t->readers;
	if (d->next)
		d->next->prev = d;
	t->readers = d;
	t->nreaders++;
	http_set_user(r, d, gone);
	if (http_stream_begin(r, 200, "application/x-ndjson", ready) < 0)
		return; /* it left; gone was called, or will be */
	tell(d);
}

void serve(void *arg, struct http_request *r)
{
	struct telemetry *t = arg;
	struct err e;
	if (http_peer(r) != DAEMON_API && http_peer(r) != DAEMON_WARDD) {
		err_set(&e, ERR_FORBIDDEN, "logs are read through the API");
		http_answer_err(r, &e);
	} else if (!streq(http_path(r), "/v1/logs")) {
		err_set(&e, ERR_NOT_FOUND, "there is no %.100s here", http_path(r));
		http_answer_err(r, &e);
	} else if (!streq(http_method(r), "GET")) {
		err_set(&e, ERR_INVALID, "logs are only read");
		http_answer_err(r, &e);
	} else {
		start_reading(t, r);
	}
}
