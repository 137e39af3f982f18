#include "base/ipc.h"
#include "base/clock.h"
#include "base/str.h"
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int address(const char *path, struct sockaddr_un *ret, struct err *e)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!str_copy(ret->sun_path, sizeof(ret->sun_path), path))
		return err_set(e, ERR_INVALID, "the socket's path is longer than %zu bytes: %s",
		    sizeof(ret->sun_path) - 1, path);
	return 0;
}

int ipc_connect(const char *path, int *ret_fd, struct err *e)
{
	struct sockaddr_un sa;
	int r = address(path, &sa, e);
	if (r < 0)
		return r;
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	struct timeval bound = { .tv_sec = 5 };
	if (setsockopt(
		fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof(bound))) /* also bounds connect */
		return err_sys(e, errno, "cannot set the socket's time-out");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		return err_sys(e, errno, "cannot connect to %s", path);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int ipc_listen(const char *path, mode_t mode, int *ret_fd, struct err *e)
{
	struct sockaddr_un sa;
	int r = address(path, &sa, e);
	if (r < 0)
		return r;
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	if (unlink(path) && errno != ENOENT)
		return err_sys(e, errno, "cannot remove the old %s", path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || chmod(path, mode) || listen(fd, 64))
		return err_sys(e, errno, "cannot listen on %s", path);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int ipc_peer(int fd, uid_t *ret_uid, enum daemon *ret_daemon, struct err *e)
{
	struct ucred c;
	socklen_t n = sizeof(c);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n))
		return err_sys(e, errno, "cannot tell who is at the other end");
	*ret_uid = c.uid;
	if (ret_daemon)
		*ret_daemon = daemon_by_uid(c.uid);
	return 0;
}

int ipc_send(int fd, const void *msg, size_t len, struct bytes tail, const int *fds, size_t nfds,
    struct err *e)
{
	if (nfds > IPC_FDS_MAX || tail.len > IPC_BYTES_MAX)
		return err_set(e, ERR_TOO_LARGE, "a message may carry %d fds and %d bytes",
		    IPC_FDS_MAX, IPC_BYTES_MAX);
	struct iovec iov[2] = { { (void *)(uintptr_t)msg, len },
		{ (void *)(uintptr_t)tail.base, tail.len } };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
	} control = { 0 };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = tail.len ? 2 : 1 };
	if (nfds) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	ssize_t n;
	do
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? err_sys(e, errno, "cannot send a message") : 0;
}

int ipc_recv(int fd, void *buf, size_t size, size_t *ret_len, int *fds, size_t *nfds, struct err *e)
{
	struct iovec iov = { buf, size };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
	} control = { 0 };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t n;
	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, errno, "cannot receive a message");
	int got[IPC_FDS_MAX];
	size_t count = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < k && count < IPC_FDS_MAX; i++)
			memcpy(&got[count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
	size_t room = nfds ? *nfds : 0;
	if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || count > room) {
		for (size_t i = 0; i < count; i++)
			close(got[i]);
		return err_set(e, ERR_PROTOCOL,
		    "a message is longer, or carries more fds, than its type allows");
	}
	if (count)
		memcpy(fds, got, sizeof(int) * count);
	if (nfds)
		*nfds = count;
	*ret_len = (size_t)n;
	return 0;
}

int ipc_call(int fd, const void *msg, size_t len, const int *send_fds, size_t nsend, void *ret,
    size_t ret_len, int *fds, size_t *nfds, int timeout_ms, struct err *e)
{
	struct ipc_head ask, answer;
	memcpy(&ask, msg, sizeof(ask));
	int r = ipc_send(fd, msg, len, (struct bytes){ 0 }, send_fds, nsend, e);
	if (r < 0)
		return r;
	uint64_t end = clock_mono_ms() + (uint64_t)MAX(timeout_ms, 0);
	for (;;) {
		uint64_t now = clock_mono_ms();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int k = poll(&p, 1, now >= end ? 0 : (int)(end - now));
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_sys(e, errno, "cannot wait for an answer");
		if (!k)
			return err_set(e, ERR_TIMEOUT, "no answer within %d ms", timeout_ms);
		size_t got;
		size_t room = nfds ? *nfds : 0;
		r = ipc_recv(fd, ret, ret_len, &got, fds, &room, e);
		if (r < 0)
			return r;
		if (got == ret_len)
			memcpy(&answer, ret, sizeof(answer));
		if (got == ret_len && answer.seq == ask.seq) {
			if (nfds)
				*nfds = room;
			return 0;
		}
		for (size_t i = 0; i < room; i++)
			close(fds[i]);
		if (got != ret_len)
			return got ? err_set(e, ERR_PROTOCOL,
					 "an answer of %zu bytes where %zu belong", got, ret_len)
				   : err_set(
					 e, ERR_UNAVAILABLE, "the other end closed the connection");
	}
}
