#include "supervisor/sockets.h"
#include "base/str.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
};

static int unix_address(
    union address *a, socklen_t *len, const struct settings *s, const char *name, struct err *e)
{
	*a = (union address){ .un = { .sun_family = AF_UNIX } };
	*len = sizeof(a->un);
	int n = snprintf(a->un.sun_path, sizeof(a->un.sun_path), "%s/%s.sock", s->places.run, name);
	return n < 0 || (size_t)n >= sizeof(a->un.sun_path)
		   ? err_set(e, ERR_INVALID, "the socket's path is too long: %s", name)
		   : 0;
}

static int inet_address(
    union address *a, socklen_t *len, const struct platform_address *p, struct err *e)
{
	*a = (union address){ 0 };
	if (inet_pton(AF_INET, p->ip, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(p->port);
		*len = sizeof(a->v4);
	} else if (inet_pton(AF_INET6, p->ip, &a->v6.sin6_addr) == 1) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons(p->port);
		*len = sizeof(a->v6);
	} else {
		return err_set(e, ERR_INVALID, "\"%s\" is no address", p->ip);
	}
	return 0;
}

static bool same_address(const union address *want, const union address *have)
{
	if (want->any.sa_family != have->any.sa_family)
		return false;
	switch (want->any.sa_family) {
	case AF_UNIX: return streq(want->un.sun_path, have->un.sun_path);
	case AF_INET:
		return want->v4.sin_port == have->v4.sin_port &&
		       want->v4.sin_addr.s_addr == have->v4.sin_addr.s_addr;
	default:
		return want->v6.sin6_port == have->v6.sin6_port &&
		       !memcmp(
			   &want->v6.sin6_addr, &have->v6.sin6_addr, sizeof(have->v6.sin6_addr));
	}
}

/* Still the socket that the path leads to? Another may have been bound over it. */
static bool path_is_live(const union address *a, int fd)
{
	if (a->any.sa_family != AF_UNIX)
		return true;
	struct stat st;
	return lstat(a->un.sun_path, &st) == 0 && S_ISSOCK(st.st_mode) && fcntl(fd, F_GETFD) >= 0;
}

/* A listening socket with this address among the fds of a running process, or -1. */
static int take_from(pid_t from, const union address *want)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/%d/fd", from);
	cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, from, 0);
	DIR *d = pidfd < 0 ? NULL : opendir(path);
	int found = -1;
	for (struct dirent *de; d && found < 0 && (de = readdir(d));) {
		char link[32] = "";
		uint64_t n;
		if (!str_u64(de->d_name, 1 << 20, &n) ||
		    readlinkat(dirfd(d), de->d_name, link, sizeof(link) - 1) < 0 ||
		    !str_starts(link, "socket:"))
			continue;
		cleanup_close int fd = (int)syscall(SYS_pidfd_getfd, pidfd, (int)n, 0);
		union address have = { 0 };
		socklen_t len = sizeof(have), size = sizeof(int);
		int listening = 0;
		if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 &&
		    listening && getsockname(fd, &have.any, &len) == 0 &&
		    same_address(want, &have) && path_is_live(want, fd))
			found = steal_fd(&fd);
	}
	if (d)
		closedir(d);
	return found;
}

static int listen_at(
    const union address *a, socklen_t len, int type, const char *what, struct err *e)
{
	int one = 1;
	cleanup_close int fd = socket(a->any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	if (a->any.sa_family == AF_UNIX)
		unlink(a->un.sun_path);
	else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
		 (a->any.sa_family == AF_INET6 &&
		     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one))))
		return err_sys(e, errno, "cannot set up the socket for %s", what);
	if (bind(fd, &a->any, len)) {
		int num = errno;
		if (num == EADDRINUSE)
			return err_set(e, ERR_PORT_TAKEN, "%s is taken by another program", what);
		return err_sys(e, num, "cannot bind to %s", what);
	}
	if (listen(fd, a->any.sa_family == AF_UNIX ? 64 : 1024))
		return err_sys(e, errno, "cannot listen on %s", what);
	return steal_fd(&fd);
}

static int add(struct row_fds *f, const char *name, pid_t from, const union address *a,
    socklen_t len, int type, const char *what, struct err *e)
{
	int fd = from ? take_from(from, a) : -1;
	if (fd < 0)
		fd = listen_at(a, len, type, what, e);
	if (fd < 0)
		return fd;
	str_copy(f->v[f->n].name, sizeof(f->v[f->n].name), name);
	f->v[f->n++].fd = fd;
	return 0;
}

static int add_unix(
    const struct settings *s, enum row row, size_t i, pid_t from, struct row_fds *f, struct err *e)
{
	const struct row_socket *def = &rows[row].sockets[i];
	union address a;
	socklen_t len = 0;
	uid_t uid = 0;
	gid_t gid = 0;
	int r = unix_address(&a, &len, s, def->name, e);
	if (r == 0)
		r = daemon_ids(rows[row].user, &uid, &gid, e);
	if (r == 0)
		r = add(f, def->name, from, &a, len, def->type, a.un.sun_path, e);
	if (r < 0)
		return r;
	if (chown(a.un.sun_path, 0, gid) || chmod(a.un.sun_path, def->mode))
		return err_sys(e, errno, "cannot give %s its group", a.un.sun_path);
	return 0;
}

static int add_inet(const struct platform_address *list, size_t n, const char *kind, pid_t from,
    struct row_fds *f, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		union address a;
		socklen_t len = 0;
		char name[24], what[80];
		snprintf(name, sizeof(name), "%s-%zu", kind, i);
		snprintf(what, sizeof(what), "%s port %u", list[i].ip, list[i].port);
		int r = inet_address(&a, &len, &list[i], e);
		if (r == 0)
			r = add(f, name, from, &a, len, SOCK_STREAM, what, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int sockets_open(
    const struct settings *s, enum row row, pid_t from, struct row_fds *ret, struct err *e)
{
	struct row_fds f = { 0 };
	int r = 0;
	for (size_t i = 0; r == 0 && i < ROW_SOCKETS && rows[row].sockets[i].name; i++)
		r = add_unix(s, row, i, from, &f, e);
	if (r == 0 && rows[row].listens)
		r = add_inet(s->platform.edge.https, s->platform.edge.nhttps, "https", from, &f, e);
	if (r == 0 && rows[row].listens)
		r = add_inet(s->platform.edge.http, s->platform.edge.nhttp, "http", from, &f, e);
	if (r < 0) {
		for (size_t i = 0; i < f.n; i++)
			close(f.v[i].fd);
		return r;
	}
	*ret = f;
	return 0;
}
