#include "api/inside.h"
#include "api/handlers.h"
#include "api/machine_show.h"
#include "base/str.h"
#include <signal.h>

/* What happens inside a machine: asked of its ward-link, which asks the guest. */

enum {
	ANSWER_MAX = 4 * 1024 * 1024,
	SHORT_MS = 10 * 1000,
	EXEC_MS = 30 * 1000,
	EXEC_GRACE_MS = 5 * 1000
};

bool inside_socket(struct call *c, const struct machine_ref *m, char *dst, size_t size)
{
	const char *state = machine_shown_state(m);
	if (!streq(state, "started") && !streq(state, "updating") && !streq(state, "stopping")) {
		struct err e;
		(void)err_set(&e, ERR_PRECONDITION, "machine %s is not running: it is %s",
		    c->param[1], state);
		err_next(&e, "start it first");
		call_fail(c, &e);
		return false;
	}
	if ((size_t)snprintf(
		dst, size, "%s/machines/%s/link.sock", c->api->places.run, c->param[1]) >= size) {
		call_failf(c, ERR_INTERNAL, "the path of the machine's socket is too long");
		return false;
	}
	return true;
}

/* ---- one question, one answer ---- */

struct inside {
	struct http_transfer *transfer; /* NULL once it ended */
	void (*then)(struct call *c, json_t *answer);
};

static void inside_free(void *work)
{
	struct inside *w = work;
	http_cancel(w->transfer); /* the client left first */
	free(w);
}

static void answered(void *arg, int status, struct bytes body, const struct err *failed)
{
	struct call *c = arg;
	struct inside *w = c->work;
	struct err e;
	cleanup_json json_t *answer = NULL;
	w->transfer = NULL;
	if (failed) {
		(void)err_set(&e, failed->code, "the machine did not answer: %.300s", failed->text);
		call_fail(c, &e);
		return;
	}
	if (body.len > 0 && json_parse(body.base, body.len, &answer, &e) < 0) {
		call_failf(c, ERR_INTERNAL, "the machine's answer is not JSON");
		return;
	}
	if (status >= 400) {
		enum err_code code = err_code_find(state_text(answer, "status"));
		const char *text = state_text(answer, "error");
		call_failf(c, code ? code : ERR_UNAVAILABLE, "%s",
		    *text ? text : "the machine refused it without a reason");
		return;
	}
	w->then(c, answer);
}

static void ask(struct call *c, const char *socket, const char *method, const char *path,
    json_t *body /* taken */, int timeout_ms, void (*then)(struct call *c, json_t *answer))
{
	static const char *const headers[] = { "Content-Type: application/json", NULL };
	static const struct http_transfer_ops ops = { .done = answered };
	struct err e;
	cleanup_free char *text = body ? json_format(body) : NULL;
	json_decref(body);
	struct inside *w = calloc(1, sizeof(*w));
	if (!w) {
		call_failf(c, ERR_NO_MEMORY, "no memory to ask the machine");
		return;
	}
	w->then = then;
	call_work(c, w, inside_free);
	struct bytes bytes = { text, text ? strlen(text) : 0 };
	if (http_start(c->api->client, socket, method, path, text ? headers : NULL, bytes, NULL,
		ANSWER_MAX, timeout_ms, &ops, c, &w->transfer, &e) < 0)
		call_fail(c, &e);
}

/* ---- exec ---- */

static json_t *pick_exec(const json_t *a)
{
	return json_pack("{s:I, s:I, s:s, s:s}", "exit_code",
	    json_integer_value(json_object_get(a, "exit_code")), "exit_signal",
	    json_integer_value(json_object_get(a, "exit_signal")), "stdout",
	    state_text(a, "stdout"), "stderr", state_text(a, "stderr"));
}

static void exec_done(struct call *c, json_t *answer)
{
	call_json(c, 200, pick_exec(answer));
}

/* `cmd` is a line: words by blanks, quotes and backslashes as a shell would read them; no shell is
 * run. NULL when a quote does not end or nothing is there. */
json_t *inside_split(const char *line)
{
	json_t *words = json_array();
	size_t n = strlen(line), len = 0;
	char *word = malloc(n + 1), quote = 0;
	bool in_word = false;
	for (size_t i = 0; word && i < n; i++) {
		char ch = line[i];
		if (quote && ch == quote) {
			quote = 0;
		} else if (!quote && (ch == '\'' || ch == '"')) {
			quote = ch;
			in_word = true;
		} else if (ch == '\\' && quote != '\'' && i + 1 < n) {
			word[len++] = line[++i];
			in_word = true;
		} else if (!quote && (ch == ' ' || ch == '\t' || ch == '\n')) {
			if (in_word)
				json_array_append_new(words, json_stringn(word, len));
			len = 0;
			in_word = false;
		} else {
			word[len++] = ch;
			in_word = true;
		}
	}
	if (word && in_word)
		json_array_append_new(words, json_stringn(word, len));
	bool good = word && !quote && json_array_size(words) > 0;
	free(word);
	if (!good) {
		json_decref(words);
		return NULL;
	}
	return words;
}

static json_t *exec_command(struct call *c)
{
	json_t *list = json_object_get(c->body, "command");
	if (json_array_size(list) > 0)
		return json_incref(list);
	return inside_split(state_text(c->body, "cmd"));
}

void machines_exec(struct call *c)
{
	struct machine_ref m;
	char socket[108];
	if (!call_machine(c, &m) || !inside_socket(c, &m, socket, sizeof(socket)))
		return;
	json_t *command = exec_command(c);
	if (!command) {
		call_failf(
		    c, ERR_INVALID, "command (a list) or cmd (a line) must name what to run");
		return;
	}
	int64_t ms = json_integer_value(json_object_get(c->body, "timeout")) * 1000;
	if (ms <= 0)
		ms = EXEC_MS;
	const char *input = state_text(c->body, "stdin");
	cleanup_free char *base64 = base64_encode(input, strlen(input));
	ask(c, socket, "POST", "/v1/exec",
	    json_pack("{s:o, s:s, s:I}", "cmd", command, "stdin", base64 ? base64 : "",
		"timeout_ms", (json_int_t)ms),
	    (int)ms + EXEC_GRACE_MS, exec_done);
}

/* ---- ps ---- */

static const char *const ps_numbers[] = { "pid", "stime", "rtime", "cpu", "rss" };

static json_t *pick_process(const json_t *p)
{
	json_t *shown = json_object(), *sockets = json_object_get(p, "listen_sockets");
	for (size_t i = 0; i < countof(ps_numbers); i++)
		json_object_set_new(shown, ps_numbers[i],
		    json_integer(json_integer_value(json_object_get(p, ps_numbers[i]))));
	json_object_set_new(shown, "command", json_string(state_text(p, "command")));
	json_object_set_new(shown, "directory", json_string(state_text(p, "directory")));
	json_object_set_new(
	    shown, "listen_sockets", json_is_array(sockets) ? json_incref(sockets) : json_array());
	return shown;
}

/* An insertion sort by one member: a guest has few processes, and the list is bounded by
 * ANSWER_MAX. */
static void insert_sorted(json_t *list, json_t *p, const char *by, bool down)
{
	size_t at = json_array_size(list);
	for (; *by && at > 0; at--) {
		const json_t *other = json_array_get(list, at - 1);
		const json_t *a = json_object_get(p, by), *b = json_object_get(other, by);
		json_int_t order = json_is_string(a)
				       ? strcmp(json_string_value(a), json_string_value(b))
				       : json_integer_value(a) - json_integer_value(b);
		if (down ? order <= 0 : order >= 0)
			break;
	}
	json_array_insert_new(list, at, p);
}

static void ps_done(struct call *c, json_t *answer)
{
	const char *by = http_query(c->http, "sort_by"), *order = http_query(c->http, "order");
	json_t *list = json_array(), *p;
	size_t i;
	json_array_foreach (
	    json_is_array(answer) ? answer : json_object_get(answer, "processes"), i, p) {
		insert_sorted(list, pick_process(p), by ? by : "", order && streq(order, "desc"));
	}
	call_json(c, 200, list);
}

void machines_ps(struct call *c)
{
	struct machine_ref m;
	char socket[108];
	const char *by = http_query(c->http, "sort_by"), *order = http_query(c->http, "order");
	bool known = !by || !*by || streq(by, "command") || streq(by, "directory");
	for (size_t i = 0; by && i < countof(ps_numbers); i++)
		known = known || streq(by, ps_numbers[i]);
	if (!call_machine(c, &m))
		return;
	if (!known)
		call_failf(c, ERR_INVALID,
		    "sort_by must be pid, stime, rtime, cpu, rss, command or directory");
	else if (order && *order && !streq(order, "asc") && !streq(order, "desc"))
		call_failf(c, ERR_INVALID, "order must be asc or desc");
	else if (inside_socket(c, &m, socket, sizeof(socket)))
		ask(c, socket, "GET", "/v1/ps", NULL, SHORT_MS, ps_done);
}

/* ---- signal ---- */

static const struct {
	const char *name;
	int number;
} signals[] = { { "SIGABRT", SIGABRT }, { "SIGALRM", SIGALRM }, { "SIGFPE", SIGFPE },
	{ "SIGHUP", SIGHUP }, { "SIGILL", SIGILL }, { "SIGINT", SIGINT }, { "SIGKILL", SIGKILL },
	{ "SIGPIPE", SIGPIPE }, { "SIGQUIT", SIGQUIT }, { "SIGSEGV", SIGSEGV },
	{ "SIGTERM", SIGTERM }, { "SIGTRAP", SIGTRAP }, { "SIGUSR1", SIGUSR1 },
	{ "SIGUSR2", SIGUSR2 } };

static const char *signal_of(const json_t *v)
{
	for (size_t i = 0; i < countof(signals); i++)
		if (json_is_integer(v) ? json_integer_value(v) == signals[i].number
				       : streq(json_string_value(v), signals[i].name))
			return signals[i].name;
	return NULL;
}

static void signal_done(struct call *c, json_t *answer)
{
	call_ok(c);
}

void machines_signal(struct call *c)
{
	struct machine_ref m;
	char socket[108];
	if (!call_machine_changing(c, &m))
		return;
	const char *name = signal_of(json_object_get(c->body, "signal"));
	if (!name)
		call_failf(c, ERR_INVALID,
		    "signal must be the name or the number of a signal like SIGTERM");
	else if (inside_socket(c, &m, socket, sizeof(socket)))
		ask(c, socket, "POST", "/v1/signal", json_pack("{s:s}", "signal", name), SHORT_MS,
		    signal_done);
}
