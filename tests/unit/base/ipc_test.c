#include "../unit.h"
#include "base/ipc.h"
#include "base/str.h"
#include <fcntl.h>
#include <sys/socket.h>

struct small {
	struct ipc_head head;
	uint32_t value, pad_;
};

static void pair(int sv[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
}

static void a_message_arrives_whole_with_its_fds(void **s)
{
	int sv[2], fds[IPC_FDS_MAX];
	struct err e;
	pair(sv);
	struct small m = { .head = { 1, 1, 9 }, .value = 42 };
	int null = open("/dev/null", O_RDONLY);
	assert_ok(ipc_send(sv[0], &m, sizeof(m), (struct bytes){ "tail", 4 }, &null, 1, &e), e);
	char buf[100];
	size_t len, n = countof(fds);
	assert_ok(ipc_recv(sv[1], buf, sizeof(buf), &len, fds, &n, &e), e);
	assert_int_equal(len, sizeof(m) + 4);
	assert_memory_equal(buf + sizeof(m), "tail", 4);
	assert_int_equal(n, 1);
	assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	close(fds[0]);
	close(null);
	close(sv[0]);
	assert_ok(ipc_recv(sv[1], buf, sizeof(buf), &len, NULL, NULL, &e), e);
	assert_int_equal(len, 0);
	close(sv[1]);
}

static void too_much_is_refused_and_no_fd_leaks(void **s)
{
	int sv[2];
	struct err e;
	pair(sv);
	char big[200] = { 0 };
	assert_ok(ipc_send(sv[0], big, sizeof(big), (struct bytes){ 0 }, NULL, 0, &e), e);
	char buf[100];
	size_t len;
	assert_int_equal(ipc_recv(sv[1], buf, sizeof(buf), &len, NULL, NULL, &e), -EPROTO);
	int before = open("/dev/null", O_RDONLY);
	close(before);
	int null = open("/dev/null", O_RDONLY);
	assert_ok(ipc_send(sv[0], big, 10, (struct bytes){ 0 }, &null, 1, &e), e);
	close(null);
	assert_int_equal(ipc_recv(sv[1], buf, sizeof(buf), &len, NULL, NULL, &e), -EPROTO);
	int after = open("/dev/null", O_RDONLY);
	assert_int_equal(before, after);
	close(after);
	close(sv[0]);
	close(sv[1]);
}

static void an_answer_must_match_its_question(void **s)
{
	int sv[2];
	struct err e;
	pair(sv);
	struct small ask = { .head = { 1, 1, 5 } }, old = { .head = { 1, 1, 4 }, .value = 1 },
		     right = { .head = { 1, 1, 5 }, .value = 2 }, got;
	assert_ok(ipc_send(sv[1], &old, sizeof(old), (struct bytes){ 0 }, NULL, 0, &e), e);
	assert_ok(ipc_send(sv[1], &right, sizeof(right), (struct bytes){ 0 }, NULL, 0, &e), e);
	assert_ok(
	    ipc_call(sv[0], &ask, sizeof(ask), NULL, 0, &got, sizeof(got), NULL, NULL, 1000, &e),
	    e);
	assert_int_equal(got.value, 2);
	assert_int_equal(
	    ipc_call(sv[0], &ask, sizeof(ask), NULL, 0, &got, sizeof(got), NULL, NULL, 20, &e),
	    -ETIMEDOUT);
	assert_ok(ipc_send(sv[1], &right, 10, (struct bytes){ 0 }, NULL, 0, &e), e);
	assert_int_equal(
	    ipc_call(sv[0], &ask, sizeof(ask), NULL, 0, &got, sizeof(got), NULL, NULL, 1000, &e),
	    -EPROTO);
	close(sv[1]);
	assert_true(ipc_call(sv[0], &ask, sizeof(ask), NULL, 0, &got, sizeof(got), NULL, NULL, 1000,
			&e) < 0);
	close(sv[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_arrives_whole_with_its_fds),
		cmocka_unit_test(too_much_is_refused_and_no_fd_leaks),
		cmocka_unit_test(an_answer_must_match_its_question),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
