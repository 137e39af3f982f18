/* Reading an app's log. Every line has a cursor; a broken connection is taken up after the last
 * line seen, so none is lost or doubled. */
#include "base/clock.h"
#include "cli/api.h"
#include "cli/app.h"
#include "cli/out.h"

enum {
	LAST_MAX = 10000,
	RETRIES = 3,
	RETRY_MS = 250,
	RETRY_MAX_MS = 4000,
	GIVE_UP_MS = 300000,
	CONNECTED_MS = 20000,
};

struct logs {
	struct cli *c;
	char cursor[256];
	int64_t last; /* how many of the last lines are still wanted; 0: all that are kept */
	size_t seen;  /* in this request */
	uint64_t heard_ms;
	bool broken; /* stdout is gone */
};

static void print_line(const struct logs *l, const char *text, size_t len)
{
	cleanup_json json_t *j = NULL;
	struct err ignored;
	if (l->c->json) {
		fwrite(text, 1, len, stdout);
		putchar('\n');
		return;
	}
	if (json_parse(text, len, &j, &ignored) < 0)
		return;
	const char *message = text_of(j, "message"), *stream = text_of(j, "stream");
	bool colour = out_colour(stdout), system = streq(stream, "system");
	if (json_object_get(j, "gap") && !*message)
		message = "(lines were lost here: the buffer was full)";
	printf("%s%.23sZ %s [%s]%s ", colour ? "\033[2m" : "", text_of(j, "at"),
	    text_of(j, "machine"), text_of(j, "region"), colour ? "\033[0m" : "");
	if (system)
		fputs("ward: ", stdout);
	out_text(stdout, message, strlen(message));
	putchar('\n');
}

static int on_line(void *arg, const char *text, size_t len)
{
	struct logs *l = arg;
	cleanup_json json_t *j = NULL;
	struct err ignored;
	l->heard_ms = clock_mono_ms();
	if (json_parse(text, len, &j, &ignored) < 0)
		return 0;
	const char *cursor = json_string_value(json_object_get(j, "cursor"));
	if (!cursor ||
	    streq(text_of(j, "type"), "heartbeat")) /* keeps the stream alive, is no line */
		return 0;
	if (!str_copy(l->cursor, sizeof(l->cursor), cursor))
		return 0;
	l->seen++;
	print_line(l, text, len);
	if (fflush(stdout) == EOF)
		l->broken = true;
	return l->broken;
}

/* Without a cursor the API begins at the last `limit` lines, or at the beginning; with one, after
 * it. */
static int fetch(struct logs *l, struct api *api, const char *app, bool follow, struct err *e)
{
	cleanup_buf struct buf path;
	char limit[24];
	const char *machine = cli_opt(l->c, "machine");
	buf_init(&path, 1024);
	snprintf(limit, sizeof(limit), "%lld", (long long)l->last);
	int r = api_path(
	    &path, follow ? "/v1/apps/%s/logs?follow=1" : "/v1/apps/%s/logs?follow=0", app);
	if (r == 0 && machine)
		r = api_path(&path, "&machine=%s", machine);
	if (r == 0 && *l->cursor)
		r = api_path(&path, "&after=%s", l->cursor);
	if (r == 0 && l->last && !(follow && *l->cursor))
		r = api_path(&path, "&limit=%s", limit);
	l->seen = 0;
	if (r < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for a request");
	r = api_lines(api, path.data, on_line, l, e);
	l->last = MAX(l->last - (int64_t)l->seen, (int64_t)0);
	return r;
}

/* To where the log ends now; a connection that breaks is taken up a few times. */
static int fetch_all(struct logs *l, struct api *api, const char *app, struct err *e)
{
	bool limited = l->last;
	for (unsigned failures = 0;;) {
		bool some = *l->cursor;
		int r = fetch(l, api, app, false, e);
		if (r == 0 || l->broken || (limited && !l->last))
			return 0;
		failures = l->seen ? 0 : failures + 1;
		if (e->code != ERR_UNAVAILABLE || failures == RETRIES || (!some && !l->seen))
			return r;
		usleep(RETRY_MS * 1000);
	}
}

static int follow(struct logs *l, struct api *api, const char *app, struct err *e)
{
	unsigned pause_ms = RETRY_MS;
	bool reached = *l->cursor;
	l->heard_ms = clock_mono_ms();
	for (;;) {
		uint64_t began = clock_mono_ms();
		int r = fetch(l, api, app, true, e);
		uint64_t now = clock_mono_ms();
		if (l->broken)
			return 0;
		if (r < 0 && e->code != ERR_UNAVAILABLE && e->code != ERR_TIMEOUT)
			return r;
		reached = reached || r == 0 || api_answered(api);
		if (!reached) /* the first try: say at once that nobody is there */
			return r;
		/* longer than connecting may take: it was there, and silent */
		if (now - began > CONNECTED_MS)
			l->heard_ms = now;
		if (now - l->heard_ms > GIVE_UP_MS)
			return r < 0 ? r
				     : err_set(e, ERR_UNAVAILABLE,
					   "the API closes the log again and again");
		if (r < 0 && e->code == ERR_UNAVAILABLE && pause_ms == RETRY_MS)
			out_say("(the connection broke; taking up after the last line)");
		pause_ms = l->seen ? RETRY_MS : MIN(pause_ms * 2, (unsigned)RETRY_MAX_MS);
		usleep(pause_ms * 1000);
	}
}

static int run(struct cli *c, struct err *e)
{
	char app[64];
	struct api *api = NULL;
	struct logs l = { .c = c };
	int r = app_name(c, app, e);
	if (r == 0)
		r = cli_api(c, &api, e);
	if (r == 0)
		r = cli_opt_int(c, "lines", 1, LAST_MAX, &l.last, e);
	if (r < 0)
		return r;
	return cli_opt(c, "follow") ? follow(&l, api, app, e) : fetch_all(&l, api, app, e);
}

const struct command cmd_logs = {
	.name = "logs",
	.args = "",
	.summary = "what an app wrote",
	.text = "Prints all that is kept, oldest first. With -f it goes on as lines come, and "
		"takes up after the last line seen when the connection "
		"breaks: none is lost, none is told twice. --json prints one object for each line.",
	.options =
	    (const struct cli_option[]){
		OPTION_APP,
		OPTION_CONFIG,
		{ "follow", 'f', NULL, "go on as lines come" },
		{ "lines", 'n', "N", "only the last N that are kept" },
		{ "machine", 0, "ID", "of this machine alone" },
		OPTION_END,
	    },
	.run = run,
};
