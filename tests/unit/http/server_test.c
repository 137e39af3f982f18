/* One process: the server on an event loop, and raw clients that the test drives between the
 * loop's turns. */
#include "../unit.h"
#include "base/clock.h"
#include "base/str.h"
#include "http/server.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { BODY_MAX = 4096 };

static sd_event *loop;
static struct http_server *server;
static char path[64];
static struct http_request *held; /* a request whose answer the test gives later */
static unsigned gone, called, stream_bytes, stream_ends;
static bool stream_pause;
static int stream_result;

static void on_gone(void *user)
{
	gone++;
	if (user == &held)
		held = NULL;
}

static void on_stream_body(void *user, const void *p, size_t n)
{
	stream_bytes += (unsigned)n;
	stream_ends += n == 0;
	if (n == 0 && held)
		http_answer(held, 200, "text/plain", "stored", 6);
	else if (stream_pause)
		http_body_pause(held, true);
}

static void on_ready(void *user)
{
	while ((stream_result = http_stream_write(held, "0123456789abcdef", 16)) == 0)
		;
}

static void handle(void *arg, struct http_request *r)
{
	called++;
	const char *p = http_path(r);
	if (streq(p, "/echo")) {
		struct bytes b = http_body(r);
		http_add_header(r, "x-method", http_method(r));
		http_answer(r, 200, "text/plain", b.base, b.len);
	} else if (streq(p, "/empty")) {
		http_answer_empty(r, 204);
	} else if (streq(p, "/header")) {
		const char *v = http_header(r, "X-One");
		http_answer(r, 200, "text/plain", v ? v : "-", v ? strlen(v) : 1);
	} else if (streq(p, "/refuse")) {
		struct err e;
		(void)err_set(&e, ERR_CONFLICT, "it is there already");
		http_answer_err(r, &e);
	} else {
		held = r;
		http_set_user(r, &held, on_gone);
		if (streq(p, "/stream-in"))
			http_on_body(r, on_stream_body);
	}
}

static bool wants_stream(void *arg, const char *method, const char *p)
{
	return str_starts(p, "/stream-in");
}

static int setup(void **state)
{
	struct err e;
	gone = called = stream_bytes = stream_ends = 0;
	stream_pause = false;
	held = NULL;
	snprintf(path, sizeof(path), "/tmp/ward-http-test-%d.sock", getpid());
	unlink(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	assert_true(str_copy(a.sun_path, sizeof(a.sun_path), path));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_true(sd_event_new(&loop) >= 0);
	struct http_limits limits = { .body_max = BODY_MAX,
		.connections = 4,
		.idle_ms = 300,
		.header_ms = 200,
		.body_ms = 250 };
	assert_ok(http_server_start(loop, fd, &limits, handle, NULL, wants_stream, &server, &e), e);
	*state = (void *)(intptr_t)fd;
	return 0;
}

static int teardown(void **state)
{
	http_server_stop(server);
	close((int)(intptr_t)*state);
	sd_event_unref(loop);
	unlink(path);
	return 0;
}

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	assert_true(str_copy(a.sun_path, sizeof(a.sun_path), path));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void turn(unsigned ms)
{
	uint64_t until = clock_mono_ms() + ms;
	do
		assert_true(sd_event_run(loop, 2000) >= 0);
	while (clock_mono_ms() < until);
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What has come; ends early once `until` is in it. "" at an end without data. *ret_eof may be NULL
 */
static const char *hear(int fd, const char *until, unsigned ms, bool *ret_eof)
{
	static char text[512 * 1024];
	size_t n = 0;
	uint64_t end = clock_mono_ms() + ms;
	bool eof = false;
	while (clock_mono_ms() < end && !eof) {
		turn(1);
		ssize_t got = recv(fd, text + n, sizeof(text) - n - 1, 0);
		eof = got == 0;
		if (got > 0)
			n += (size_t)got;
		text[n] = 0;
		if (until && strstr(text, until))
			break;
	}
	if (ret_eof)
		*ret_eof = eof;
	return text;
}

#define assert_has(text, part)                                                                     \
	do {                                                                                       \
		const char *t_ = (text);                                                           \
		if (!strstr(t_, part))                                                             \
			fail_msg("no \"%s\" in:\n%s", part, t_);                                   \
	} while (0)

static void answers_and_keeps_the_connection(void **state)
{
	int fd = dial();
	for (int i = 0; i < 3; i++) {
		say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
		const char *t = hear(fd, "hello", 1000, NULL);
		assert_has(t, "HTTP/1.1 200 OK\r\n");
		assert_has(t, "Content-Length: 5\r\n");
		assert_has(t, "x-method: POST\r\n");
		assert_has(t, "\r\n\r\nhello");
	}
	say(fd, "GET /empty HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	bool eof;
	const char *t = hear(fd, NULL, 1000, &eof);
	assert_has(t, "HTTP/1.1 204");
	assert_has(t, "Connection: close\r\n");
	assert_true(eof);
	close(fd);
}

static void takes_pipelined_requests_in_order(void **state)
{
	int fd = dial();
	say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
		"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
		"chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n0\r\n\r\n"
		"HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n"
		"GET /refuse HTTP/1.1\r\nHost: a\r\n\r\n");
	const char *t = hear(fd, "it is there already\"}", 1000, NULL);
	const char *one = strstr(t, "\r\n\r\none"), *two = strstr(t, "\r\n\r\ntwo"),
		   *conflict = strstr(t, "HTTP/1.1 409");
	assert_non_null(one);
	assert_non_null(two);
	assert_non_null(conflict);
	assert_true(one < two && two < conflict);
	assert_has(t, "\"status\":\"conflict\"");
	assert_has(t, "\"next\":");
	assert_int_equal(called, 4);
	close(fd);
}

static void a_pipelining_client_waits_for_a_slow_answer(void **state)
{
	int fd = dial();
	say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
	turn(20);
	assert_int_equal(called, 1);
	assert_non_null(held);
	http_answer(held, 200, "text/plain", "late", 4);
	assert_int_equal(gone, 1);
	const char *t = hear(fd, "204", 1000, NULL);
	assert_true(strstr(t, "late") < strstr(t, "204"));
	assert_int_equal(called, 2);
	close(fd);
}

/* The listener stays readable then: the loop must rest, and take the client when there is room. */
static void without_descriptors_the_loop_does_not_spin(void **state)
{
	struct rlimit was, none;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	int fd = dial();
	int next = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	close(next);
	none = (struct rlimit){ (rlim_t)next, was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	unsigned woken = 0;
	for (uint64_t until = clock_mono_ms() + 250; clock_mono_ms() < until;)
		woken += sd_event_run(loop, 10 * 1000) > 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_in_range(woken, 1, 10);
	say(fd, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_has(hear(fd, "204", 1000, NULL), "HTTP/1.1 204");
	close(fd);
}

static void a_slow_client_is_cut(void **state)
{
	bool eof;
	int fd = dial(); /* says nothing */
	assert_string_equal(hear(fd, NULL, 1000, &eof), "");
	assert_true(eof);
	close(fd);

	fd = dial(); /* trickles: each byte comes in time, the header does not */
	const char *request =
	    "GET /empty HTTP/1.1\r\nHost: a\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";
	uint64_t start = clock_mono_ms();
	for (size_t i = 0; i < strlen(request) && clock_mono_ms() - start < 400; i++) {
		if (send(fd, request + i, 1, MSG_NOSIGNAL) != 1)
			break;
		turn(10);
	}
	assert_has(hear(fd, NULL, 500, NULL), "HTTP/1.1 408");
	close(fd);

	fd = dial(); /* promises a body and never sends it */
	say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
	assert_has(hear(fd, NULL, 1000, NULL), "HTTP/1.1 408");
	assert_int_equal(called, 0);
	close(fd);
}

static void refuses_what_is_too_large_or_malformed(void **state)
{
	static char huge[40 * 1024];
	int fd = dial();
	memset(huge, 'a', sizeof(huge) - 1);
	say(fd, "GET /echo HTTP/1.1\r\nHost: a\r\nX-Huge: ");
	assert_true(send(fd, huge, sizeof(huge) - 1, MSG_NOSIGNAL) > 0);
	assert_has(hear(fd, NULL, 500, NULL), "HTTP/1.1 431");
	close(fd);

	fd = dial(); /* announced */
	say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4097\r\n\r\n");
	assert_has(hear(fd, "}", 500, NULL), "HTTP/1.1 413");
	close(fd);

	fd = dial(); /* found out on the way; the client gets to read why */
	say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n");
	assert_true(send(fd, huge, 8192, MSG_NOSIGNAL) > 0);
	assert_has(hear(fd, "}", 500, NULL), "HTTP/1.1 413");
	close(fd);

	static const char *const bad[] = { "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET  /a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a HTTP/1.1\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n") };
	for (size_t i = 0; i < countof(bad); i++) {
		fd = dial();
		say(fd, bad[i]);
		bool eof;
		const char *t = hear(fd, NULL, 500, &eof);
		assert_has(t, "HTTP/1.1 400");
		assert_true(eof);
		close(fd);
	}
	assert_int_equal(called, 0);
}

static void a_leaving_client_ends_its_request(void **state)
{
	int fd = dial();
	say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	turn(20);
	assert_non_null(held);
	close(fd);
	turn(20);
	assert_int_equal(gone, 1);
	assert_null(held);

	/* Who only shuts the sending side still gets an answer. */
	fd = dial();
	say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	shutdown(fd, SHUT_WR);
	turn(20);
	assert_non_null(held);
	http_answer(held, 200, NULL, "x", 1);
	assert_has(hear(fd, "x", 500, NULL), "200 OK");
	close(fd);
}

static void streams_an_answer_with_back_pressure(void **state)
{
	int fd = dial();
	say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	turn(20);
	assert_ok(
	    http_stream_begin(held, 200, "application/x-ndjson", on_ready), (struct err){ 0 });
	on_ready(NULL);
	assert_int_equal(stream_result, -EAGAIN);
	/* The client reads nothing: the server stops filling. */
	turn(50);
	assert_int_equal(http_stream_write(held, "x", 1), -EAGAIN);
	const char *t = hear(fd, NULL, 100, NULL);
	assert_has(t, "Transfer-Encoding: chunked\r\n");
	assert_has(t, "\r\n10\r\n0123456789abcdef\r\n10\r\n");
	assert_true(strlen(t) > 256 * 1024); /* so it was told to go on */
	close(fd);
	turn(20);
	assert_int_equal(gone, 1);
}

static void ends_a_streamed_answer(void **state)
{
	int fd = dial();
	say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	turn(20);
	assert_ok(http_stream_begin(held, 200, NULL, NULL), (struct err){ 0 });
	assert_int_equal(http_stream_write(held, "abc", 3), 0);
	http_stream_end(held);
	assert_has(hear(fd, "0\r\n\r\n", 500, NULL), "\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
	say(fd, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_has(hear(fd, "204", 500, NULL), "204");
	close(fd);
	fd = dial(); /* HTTP/1.0 knows no chunks: the end is the end of the connection */
	say(fd, "GET /hold HTTP/1.0\r\n\r\n");
	turn(20);
	assert_ok(http_stream_begin(held, 200, NULL, NULL), (struct err){ 0 });
	assert_int_equal(http_stream_write(held, "abc", 3), 0);
	http_stream_end(held);
	bool eof;
	const char *t = hear(fd, NULL, 500, &eof);
	assert_has(t, "\r\n\r\nabc");
	assert_null(strstr(t, "chunked"));
	assert_true(eof);
	close(fd);
}

static void streams_a_body_in(void **state)
{
	static char piece[16 * 1024];
	int fd = dial();
	say(fd, "PUT /stream-in HTTP/1.1\r\nHost: a\r\nContent-Length: 131072\r\nExpect: "
		"100-continue\r\n\r\n");
	assert_has(hear(fd, "100 Continue", 500, NULL), "HTTP/1.1 100 Continue\r\n\r\n");
	assert_int_equal(called, 1); /* before the body */
	for (int i = 0; i < 8; i++) {
		assert_int_equal(send(fd, piece, sizeof(piece), MSG_NOSIGNAL), sizeof(piece));
		turn(2);
	}
	const char *t = hear(fd, "stored", 500, NULL);
	assert_has(t, "200 OK");
	assert_int_equal(stream_bytes, 131072);
	assert_int_equal(stream_ends, 1);
	close(fd);
}

static void holds_back_a_body_while_paused(void **state)
{
	static char piece[1024 * 1024];
	int fd = dial();
	stream_pause = true;
	say(fd, "PUT /stream-in HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
	turn(20);
	size_t sent = 0;
	for (int i = 0; i < 50; i++) {
		ssize_t n = send(fd, piece, sizeof(piece) - sent, MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		turn(2);
	}
	assert_true(sent < sizeof(piece));      /* the socket is full */
	assert_true(stream_bytes <= 64 * 1024); /* one read at most */
	stream_pause = false;
	http_body_pause(held, false);
	for (int i = 0; i < 2000 && sent < sizeof(piece); i++) {
		ssize_t n = send(fd, piece, sizeof(piece) - sent, MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		turn(1);
	}
	assert_has(hear(fd, "stored", 500, NULL), "200 OK");
	assert_int_equal(stream_bytes, 1048576);
	close(fd);
}

static void a_body_stream_cut_short_is_gone_without_an_end(void **state)
{
	int fd = dial();
	say(fd, "PUT /stream-in HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc");
	turn(20);
	close(fd);
	turn(20);
	assert_int_equal(stream_bytes, 3);
	assert_int_equal(stream_ends, 0);
	assert_int_equal(gone, 1);
}

static void an_early_answer_to_a_body_stream_closes(void **state)
{
	int fd = dial();
	say(fd, "PUT /stream-in-refused HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc");
	turn(20);
	http_answer(held, 403, NULL, "no", 2);
	bool eof;
	const char *t = hear(fd, NULL, 500, &eof);
	assert_has(t, "403");
	assert_has(t, "Connection: close");
	assert_true(eof);
	close(fd);
}

static void hands_over_an_upgraded_connection(void **state)
{
	struct err e;
	struct buf early;
	int taken = -1, fd = dial();
	say(fd, "POST /hold HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: "
		"ward-exec\r\n\r\nearly");
	turn(20);
	assert_int_equal(http_upgrade(held, "other", &taken, &early, &e), -EINVAL);
	assert_ok(http_upgrade(held, "ward-exec", &taken, &early, &e), e);
	assert_int_equal(gone, 1);
	assert_int_equal(early.len, 5);
	assert_memory_equal(early.data, "early", 5);
	buf_done(&early);
	assert_has(hear(fd, "ward-exec", 500, NULL), "HTTP/1.1 101 Switching Protocols\r\n");
	assert_int_equal(send(taken, "direct", 6, MSG_NOSIGNAL), 6);
	assert_has(hear(fd, "direct", 500, NULL), "direct");
	close(taken);
	bool eof;
	(void)hear(fd, NULL, 100, &eof);
	assert_true(eof);
	close(fd);
}

static void more_connections_wait(void **state)
{
	int fd[6];
	for (int i = 0; i < 6; i++)
		fd[i] = dial();
	turn(20);
	for (int i = 0; i < 6; i++)
		say(fd[i], "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
	turn(20);
	assert_int_equal(called, 4);
	close(fd[0]);
	close(fd[1]);
	turn(20);
	assert_int_equal(called, 6);
	for (int i = 2; i < 6; i++)
		close(fd[i]);
}

static void header_values_are_whole(void **state)
{
	int fd = dial();
	say(fd, "GET /header HTTP/1.1\r\nHost: a\r\nx-one:  a, b \t\r\nX-Two: c\r\n\r\n");
	assert_has(hear(fd, "a, b", 500, NULL), "\r\n\r\na, b");
	close(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(answers_and_keeps_the_connection),
		T(takes_pipelined_requests_in_order),
		T(a_pipelining_client_waits_for_a_slow_answer),
		T(without_descriptors_the_loop_does_not_spin),
		T(a_slow_client_is_cut),
		T(refuses_what_is_too_large_or_malformed),
		T(a_leaving_client_ends_its_request),
		T(streams_an_answer_with_back_pressure),
		T(ends_a_streamed_answer),
		T(streams_a_body_in),
		T(holds_back_a_body_while_paused),
		T(a_body_stream_cut_short_is_gone_without_an_end),
		T(an_early_answer_to_a_body_stream_closes),
		T(hands_over_an_upgraded_connection),
		T(more_connections_wait),
		T(header_values_are_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
