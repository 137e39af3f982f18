/* Folders of two users, a socket in each; the one passes the other's off as its own. */
#include "../unit.h"
#include "base/peer.h"
#include "base/str.h"
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { ONE = 54321, TWO = 54322 };
static char root[] = "/tmp/ward-peer-test-XXXXXX";
static struct err e;

static const char *below(const char *name)
{
	static char path[108];
	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static void folder(const char *name, uid_t uid)
{
	assert_int_equal(mkdir(below(name), 0711), 0);
	assert_int_equal(chown(below(name), uid, uid), 0);
}

/* Listens as that user until it is killed. */
static pid_t listens(const char *name, uid_t uid)
{
	int ready[2];
	char c;
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct sockaddr_un a = { .sun_family = AF_UNIX };
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		str_copy(a.sun_path, sizeof(a.sun_path), below(name));
		if (setuid(uid) || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
		    chmod(a.sun_path, 0666) || listen(fd, 4) || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static int ask(const char *name)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return peer_connect(fd, below(name), &e);
}

static void only_the_folders_owner_may_answer(void **s)
{
	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(root));
	assert_int_equal(chmod(root, 0755), 0);
	folder("one", ONE);
	folder("two", TWO);
	pid_t one = listens("one/link.sock", ONE), two = listens("two/link.sock", TWO);
	assert_ok(ask("one/link.sock"), e);
	assert_ok(ask("two/link.sock"), e);
	assert_int_equal(symlink("../two/link.sock", below("one/other")), 0);
	assert_true(ask("one/other") < 0);
	assert_int_equal(e.code, ERR_FORBIDDEN);
	assert_true(ask("one/none") < 0);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	/* what root itself put there is not doubted */
	assert_int_equal(symlink("two/link.sock", below("link.sock")), 0);
	assert_ok(ask("link.sock"), e);
	assert_true(peer_is_doubtful(below("one/link.sock")));
	assert_false(peer_is_doubtful(below("etcd.sock")));
	kill(one, SIGKILL);
	kill(two, SIGKILL);
	waitpid(one, NULL, 0);
	waitpid(two, NULL, 0);
	static const char *const made[] = { "one/link.sock", "one/other", "one", "two/link.sock",
		"two", "link.sock", "" };
	for (size_t i = 0; i < countof(made); i++)
		assert_int_equal(remove(below(made[i])), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(only_the_folders_owner_may_answer) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
