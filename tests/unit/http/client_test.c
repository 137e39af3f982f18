/* The client against the server: one-shot calls need it in a child, transfers share its loop. */
#include "../unit.h"
#include "base/clock.h"
#include "base/str.h"
#include "http/client.h"
#include "http/server.h"
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static sd_event *loop;
static struct http_server *server;
static char folder[48], path[64];
static int listener;
static pid_t child;

static void handle(void *arg, struct http_request *r)
{
	const char *p = http_path(r);
	struct bytes b = http_body(r);
	if (streq(p, "/echo")) {
		const char *type = http_header(r, "Content-Type");
		http_add_header(r, "x-type", type ? type : "none");
		http_answer(r, 201, "application/json", b.base, b.len);
	} else if (streq(p, "/error")) {
		struct err e;
		(void)err_set(&e, ERR_CAPACITY, "no host has 4 GB free");
		err_next(&e, "ask for less");
		http_answer_err(r, &e);
	} else if (streq(p, "/text")) {
		http_answer(r, 502, "text/plain", "bad", 3);
	} else if (streq(p, "/lines")) {
		assert_int_equal(http_stream_begin(r, 200, NULL, NULL), 0);
		for (int i = 0; i < 1000; i++)
			assert_int_equal(http_stream_write(r, "line\n", 5), 0);
		http_stream_end(r);
	} /* else never */
}

static void serve(void)
{
	struct err e;
	struct http_limits limits = { .body_max = 1 << 20,
		.connections = 16,
		.idle_ms = 5000,
		.header_ms = 5000,
		.body_ms = 5000 };
	assert_true(sd_event_new(&loop) >= 0);
	assert_ok(http_server_start(loop, listener, &limits, handle, NULL, NULL, &server, &e), e);
}

static int setup(void **state)
{
	/* a machine's, so that who listens there is checked too */
	snprintf(folder, sizeof(folder), "/tmp/ward-http-client-test-%d", getpid());
	snprintf(path, sizeof(path), "%s/link.sock", folder);
	unlink(path);
	(void)mkdir(folder, 0755);
	assert_int_equal(chown(folder, geteuid(), getegid()), 0);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	assert_true(str_copy(a.sun_path, sizeof(a.sun_path), path));
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 16), 0);
	return 0;
}

static int setup_child(void **state)
{
	setup(state);
	child = fork();
	if (child == 0) {
		serve();
		sd_event_loop(loop);
		_exit(0);
	}
	return 0;
}

static int setup_loop(void **state)
{
	setup(state);
	serve();
	return 0;
}

static int teardown(void **state)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		child = 0;
	} else {
		http_server_stop(server);
		sd_event_unref(loop);
	}
	close(listener);
	unlink(path);
	rmdir(folder);
	return 0;
}

static void calls_and_answers(void **state)
{
	struct err e;
	struct http_reply reply;
	struct bytes body = { "hello", 5 };
	assert_ok(http_call(path, "POST", "/echo", NULL, body, 100, 2000, &reply, &e), e);
	assert_int_equal(reply.status, 201);
	assert_int_equal(reply.body.len, 5);
	assert_memory_equal(reply.body.data, "hello", 5);
	buf_done(&reply.body);
	assert_ok(
	    http_call(path, "HEAD", "/echo", NULL, (struct bytes){ 0 }, 100, 2000, &reply, &e), e);
	assert_int_equal(reply.status, 201);
	assert_int_equal(reply.body.len, 0);
	buf_done(&reply.body);
}

static void calls_with_json(void **state)
{
	struct err e;
	cleanup_json json_t *ask = json_pack("{s:i}", "a", 1), *answer = NULL;
	assert_ok(http_call_json(path, "PUT", "/echo", ask, 2000, &answer, &e), e);
	assert_true(json_equal(ask, answer));
	assert_int_equal(http_call_json(path, "GET", "/error", NULL, 2000, NULL, &e), -ENOSPC);
	assert_int_equal(e.code, ERR_CAPACITY);
	assert_string_equal(e.text, "no host has 4 GB free");
	assert_string_equal(err_next_step(&e), "ask for less");
	assert_true(http_call_json(path, "GET", "/text", NULL, 2000, NULL, &e) < 0);
	assert_int_equal(e.code, ERR_INTERNAL);
}

static void fails_with_a_cause(void **state)
{
	struct err e;
	struct http_reply reply;
	struct bytes none = { 0 }, body = { "hello", 5 };
	assert_int_equal(
	    http_call(path, "GET", "/never", NULL, none, 100, 100, &reply, &e), -ETIMEDOUT);
	assert_int_equal(
	    http_call(path, "POST", "/echo", NULL, body, 4, 2000, &reply, &e), -EMSGSIZE);
	assert_int_equal(
	    http_call("/tmp/ward-nobody.sock", "GET", "/", NULL, none, 4, 2000, &reply, &e),
	    -EAGAIN);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
}

/* The listener is this process's user; as long as the folder is another's, nothing is asked. */
static void who_listens_must_own_a_machines_folder(void **state)
{
	struct err e;
	struct http_reply reply;
	struct bytes none = { 0 };
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(folder, 54321, 54321), 0);
	assert_int_equal(
	    http_call(path, "GET", "/echo", NULL, none, 100, 2000, &reply, &e), -EAGAIN);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_int_equal(chown(folder, 0, 0), 0);
	assert_ok(http_call(path, "GET", "/echo", NULL, none, 100, 2000, &reply, &e), e);
	buf_done(&reply.body);
}

/* ---- transfers ---- */

static struct http_client *client;
static unsigned ended, got;
static int last_status;
static enum err_code last_code;
static struct http_transfer *victim;
static int stop_after;

static void on_done(void *arg, int status, struct bytes body, const struct err *e)
{
	ended++;
	last_status = status;
	last_code = e ? e->code : ERR_NONE;
	if (!arg)
		got += (unsigned)body.len;
	if (victim) {
		http_cancel(victim);
		victim = NULL;
	}
	if (arg == &client)
		http_client_free(client);
}

static int on_data(void *arg, const void *p, size_t n)
{
	got += (unsigned)n;
	return stop_after && got >= (unsigned)stop_after;
}

static void turn(unsigned ms, unsigned until_ended)
{
	uint64_t until = clock_mono_ms() + ms;
	while (clock_mono_ms() < until && ended < until_ended)
		assert_true(sd_event_run(loop, 2000) >= 0);
}

static const struct http_transfer_ops collect = { .done = on_done },
				      take = { .data = on_data, .done = on_done };

static struct http_transfer *begin(
    const char *p, const struct http_transfer_ops *ops, size_t max, int timeout_ms, void *arg)
{
	struct err e;
	struct http_transfer *t;
	assert_ok(http_start(client, path, "GET", p, NULL, (struct bytes){ 0 }, NULL, max,
		      timeout_ms, ops, arg, &t, &e),
	    e);
	return t;
}

static void transfers_on_the_loop(void **state)
{
	struct err e;
	ended = got = 0;
	assert_ok(http_client_new(loop, &client, &e), e);
	begin("/lines", &collect, 1 << 20, 0, NULL);
	begin("/lines", &take, 0, 0, &got);
	begin("/error", &collect, 1 << 20, 0, NULL);
	assert_int_equal(ended, 0); /* nothing before the loop turns */
	turn(2000, 3);
	assert_int_equal(ended, 3);
	assert_true(got > 10000);

	begin("/lines", &collect, 100, 0, NULL);
	turn(2000, 4);
	assert_int_equal(last_code, ERR_TOO_LARGE);
	begin("/never", &collect, 100, 50, NULL);
	turn(2000, 5);
	assert_int_equal(last_code, ERR_TIMEOUT);
	stop_after = 1;
	begin("/lines", &take, 0, 0, &got);
	turn(2000, 6);
	assert_int_equal(last_status, 0);
	assert_int_equal(last_code, ERR_INTERNAL);
	stop_after = 0;
	http_client_free(client);
}

static void cancelled_transfers_do_not_call_back(void **state)
{
	struct err e;
	ended = 0;
	assert_ok(http_client_new(loop, &client, &e), e);
	http_cancel(begin("/never", &collect, 100, 0, NULL));
	victim = begin("/never", &collect, 100, 0, NULL); /* cancelled from another's callback */
	begin("/error", &collect, 4096, 0, NULL);
	turn(300, 9);
	assert_int_equal(ended, 1);
	begin("/never", &collect, 100, 0, NULL);
	begin("/error", &collect, 4096, 0, &client); /* frees the client from its callback */
	turn(300, 9);
	assert_int_equal(ended, 2);
}

static void a_paused_transfer_waits(void **state)
{
	struct err e;
	ended = got = 0;
	assert_ok(http_client_new(loop, &client, &e), e);
	struct http_transfer *t = begin("/lines", &take, 0, 0, &got);
	http_pause(t, true);
	turn(100, 1);
	assert_int_equal(ended, 0);
	assert_int_equal(got, 0);
	http_pause(t, false);
	turn(1000, 1);
	assert_int_equal(ended, 1);
	assert_int_equal(got, 5000);
	http_client_free(client);
}

int main(void)
{
#define CHILD(f) cmocka_unit_test_setup_teardown(f, setup_child, teardown)
#define LOOP(f)  cmocka_unit_test_setup_teardown(f, setup_loop, teardown)
	const struct CMUnitTest tests[] = {
		CHILD(calls_and_answers),
		CHILD(calls_with_json),
		CHILD(fails_with_a_cause),
		CHILD(who_listens_must_own_a_machines_folder),
		LOOP(transfers_on_the_loop),
		LOOP(cancelled_transfers_do_not_call_back),
		LOOP(a_paused_transfer_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
