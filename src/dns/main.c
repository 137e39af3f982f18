/* ward-dns: the machines' resolver at fdaa::3, in their network namespace. It tells an
 * organisation's machines the names of that organisation and no other, from a file that ward-agent
 * writes; all else it asks of the host's resolvers. It has no rights but two sockets and that file.
 */
#include "base/confine.h"
#include "base/daemon.h"
#include "base/log.h"
#include "base/str.h"
#include "core/addresses.h"
#include "dns/server.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

static struct server server = { .folder = -1 };
static const char *upstreams[UPSTREAM_SERVERS_MAX];
static size_t upstreams_n;

/* Passed by wardd, or made here where ports below 1024 are free to all (wardd makes the namespace
 * so). The address may come later than we do: ward-net puts it there. */
static int resolver_socket(const char *name, int type, int *ret, struct err *e)
{
	cleanup_close int fd = daemon_passed_fd(name);
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(53) };
	int on = 1;
	if (fd < 0) {
		fd = socket(AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0 || inet_pton(AF_INET6, NET_RESOLVER6, &at.sin6_addr) != 1 ||
		    setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on)) ||
		    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
		    bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
		    (type == SOCK_STREAM && listen(fd, 64)))
			return err_sys(e, errno, "cannot answer at [" NET_RESOLVER6 "]:53");
	}
	*ret = steal_fd(&fd);
	return 0;
}

static int options(struct places *p, int argc, char **argv, struct err *e)
{
	int r = places_from_args(p, &argc, &argv, e);
	for (int i = 1; r == 0 && i < argc; i += 2) {
		if (!streq(argv[i], "--upstream") || i + 1 >= argc ||
		    upstreams_n == countof(upstreams))
			return err_set(e, ERR_INVALID,
			    "usage: ward-dns [--root DIR] [--instance NAME] [--upstream "
			    "ADDRESS[#PORT]], at most %d of these",
			    UPSTREAM_SERVERS_MAX);
		upstreams[upstreams_n++] = argv[i + 1];
	}
	return r;
}

static int run(struct err *e)
{
	int r = sd_event_new(&server.loop);
	if (r < 0)
		return err_sys(e, -r, "cannot make an event loop");
	r = upstream_new(&server.up, server.loop, upstreams, upstreams_n, e);
	if (r == 0)
		r = server_start(&server, e);
	/* reads the names' file again when it changes; asks resolvers from sockets made for each
	 * question */
	if (r == 0)
		r = confine(CONFINE_FILES_READ | CONFINE_INET, e);
	if (r < 0)
		return r;
	log_info(
	    "answering with %zu names and %zu upstream resolvers", server.names.count, upstreams_n);
	r = sd_event_loop(server.loop);
	return err_sys(e, r < 0 ? -r : EIO, "the event loop ended");
}

int main(int argc, char **argv)
{
	static struct places places;
	static char folder[128];
	struct err e;
	log_init("ward-dns");
	signal(SIGPIPE, SIG_IGN);
	int r = options(&places, argc, argv, &e);
	if (r == 0)
		r = resolver_socket("dns-udp", SOCK_DGRAM, &server.udp, &e);
	if (r == 0)
		r = resolver_socket("dns-tcp", SOCK_STREAM, &server.tcp, &e);
	if (r == 0) {
		snprintf(folder, sizeof(folder), "%s/names", places.run);
		server.folder_path = folder;
		r = run(&e);
	}
	if (r < 0)
		log_err(&e, "ward-dns");
	return 1;
}
