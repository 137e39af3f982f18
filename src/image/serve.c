#include "image/serve.h"
#include "base/log.h"
#include "base/str.h"
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

void answer_progress(int conn, const struct image_ask *ask, uint64_t done, uint64_t total)
{
	struct image_answer a = { .head = { IMAGE_PROGRESS, IMAGE_VERSION, ask->head.seq },
		.done = done,
		.total = total };
	struct err e;
	if (ipc_send(conn, &a, sizeof(a), (struct bytes){ 0 }, NULL, 0, &e) < 0)
		log_debug("nobody waits: %s", e.text);
}

void answer_done(
    int conn, const struct image_ask *ask, int result, const char *digest, const struct err *e)
{
	struct image_answer a = { .head = { IMAGE_DONE, IMAGE_VERSION, ask->head.seq },
		.result = result };
	struct err later;
	if (digest)
		str_copy(a.digest, sizeof(a.digest), digest);
	if (result < 0) {
		a.code = e->code;
		snprintf(a.text, sizeof(a.text), "%.*s", (int)sizeof(a.text) - 1, e->text);
	}
	if (ipc_send(conn, &a, sizeof(a), (struct bytes){ 0 }, NULL, 0, &later) < 0)
		log_debug("nobody waits: %s", later.text);
}

int ask_digest(const struct image_ask *ask, char dst[65], struct err *e)
{
	if (!str_is_hex(ask->digest, 64))
		return err_set(e, ERR_INVALID, "a digest is 64 lower-case hex digits");
	memcpy(dst, ask->digest, 65);
	return 0;
}

/* One connection to its end. */
static void work(int conn, enum daemon peer, serve_fn fn)
{
	for (;;) {
		struct image_ask ask;
		struct err e;
		size_t len, n = 1;
		int fd = -1;
		if (ipc_recv(conn, &ask, sizeof(ask), &len, &fd, &n, &e) < 0 || !len)
			return;
		bool sound = len == sizeof(ask) && ask.head.version <= IMAGE_VERSION &&
			     !ask.ref[sizeof(ask.ref) - 1] && !ask.digest[sizeof(ask.digest) - 1];
		if (sound)
			fn(conn, peer, &ask, n ? fd : -1);
		else
			log_warn("a message that is not ours, %zu bytes", len);
		if (n)
			close(fd);
		if (!sound)
			return;
	}
}

static void take(int listen_fd, unsigned allowed, serve_fn fn, pid_t slot[static 1])
{
	cleanup_close int conn = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	uid_t uid;
	enum daemon peer;
	struct err e;
	if (conn < 0)
		return;
	if (ipc_peer(conn, &uid, &peer, &e) < 0 || peer >= DAEMON_MAX || !(allowed & 1U << peer)) {
		log_warn("uid %u may not ask", (unsigned)uid);
		return;
	}
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		log_error("cannot start a worker");
	if (pid > 0)
		*slot = pid;
	if (pid != 0)
		return;
	signal(SIGCHLD, SIG_DFL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(1);
	close(listen_fd);
	work(conn, peer, fn);
	_exit(0);
}

static void on_child(int sig)
{
	(void)sig; /* only to end poll */
}

int serve(int listen_fd, unsigned allowed, serve_fn fn, struct err *e)
{
	pid_t worker[SERVE_WORKERS_MAX] = { 0 };
	struct sigaction wake = { .sa_handler = on_child };
	if (sigaction(SIGCHLD, &wake, NULL))
		return err_sys(e, errno, "cannot watch the workers");
	for (;;) {
		size_t unused = SERVE_WORKERS_MAX;
		for (size_t i = 0; i < countof(worker); i++) {
			if (worker[i] && waitpid(worker[i], NULL, WNOHANG) == worker[i])
				worker[i] = 0;
			if (!worker[i])
				unused = i;
		}
		/* when all work, the rest waits in the backlog; the pause bounds a child that ended
		 * before poll began */
		struct pollfd p = { .fd = listen_fd,
			.events = unused < SERVE_WORKERS_MAX ? POLLIN : 0 };
		int n = poll(&p, 1, 1000);
		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "cannot wait for questions");
		if (n > 0 && unused < SERVE_WORKERS_MAX)
			take(listen_fd, allowed, fn, &worker[unused]);
	}
}
