#include "../../../src/edge/probe.c"
#include "../unit.h"
#include <arpa/inet.h>

static unsigned changes;
static void on_change(void *arg, struct probe *p)
{
	changes++;
}

static int listener(uint16_t *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1024), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

/* Machines that take connections and never answer, with the longest patience there is. */
static void test_silent_machines_do_not_keep_others_waiting(void **state)
{
	struct probes ps;
	struct record_machine m = { .route.ipv4 = { 127, 0, 0, 1 } };
	struct record_check c = { .http = true, .times = { 10000, CHECK_MAX_MS, 0 } };
	sd_event *loop = NULL;
	uint16_t port;
	int silent = listener(&port), good = listener(&c.port);
	assert_true(sd_event_new(&loop) >= 0);
	probes_init(&ps, loop, on_change, NULL);
	probes_begin(&ps);
	struct record_check tcp = { .port = c.port, .times = { 10000, 1000, 0 } };
	struct probe *other = probes_want(&ps, &m, &tcp, CHECK_WARNING);
	c.port = port;
	for (int i = 0; i < 400; i++) { /* they come before it in the list */
		snprintf(c.name, sizeof(c.name), "silent-%d", i);
		assert_non_null(probes_want(&ps, &m, &c, CHECK_WARNING));
	}
	probes_end(&ps);
	for (int i = 0; i < 2000 && other->check.status != CHECK_PASSING; i++)
		assert_true(sd_event_run(loop, 10000) >= 0);
	assert_int_equal(other->check.status, CHECK_PASSING);
	assert_int_equal(ps.running, 400);
	probes_begin(&ps);
	probes_end(&ps);
	assert_int_equal(ps.running, 0);
	sd_event_source_disable_unref(ps.wake);
	sd_event_unref(loop);
	close(silent);
	close(good);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(
	    test_silent_machines_do_not_keep_others_waiting) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
