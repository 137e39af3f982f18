/* ward-net: the machines' taps, addresses, routes and firewall, in their own network namespace. It
 * keeps no state: the kernel does, so it may be killed at any moment while packets go on. */
#include "base/confine.h"
#include "base/log.h"
#include "base/str.h"
#include "net/network.h"
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

enum { CONNECTIONS_MAX = 16 };

static struct network network = { .tun = "/dev/net/tun" };

static void answer_tap(int fd, const struct net_tap *ask)
{
	struct err e = { 0 };
	struct net_answer a = { .head = { ask->head.type, NET_VERSION, ask->head.seq } };
	cleanup_close int tap = -1;
	int r = ask->head.type == NET_TAP_OPEN ? network_tap_open(&network, ask, &a, &tap, &e)
					       : network_tap_remove(&network, ask, &e);
	if (r < 0) {
		a.result = r;
		a.code = e.code;
		snprintf(a.text, sizeof(a.text), "%.*s", (int)sizeof(a.text) - 1, e.text);
		log_err(&e, "machine %.*s", MACHINE_ID_LEN, ask->machine);
	}
	r = ipc_send(fd, &a, sizeof(a), (struct bytes){ 0 }, &tap, tap >= 0 ? 1 : 0, &e);
	if (r < 0)
		log_err(&e, "answering");
}

static void answer_list(int fd, const struct net_tap *ask)
{
	static struct net_list l;
	struct err e;
	l = (struct net_list){ .head = { NET_TAP_LIST, NET_VERSION, ask->head.seq },
		.count = (uint32_t)network.taps };
	for (size_t i = 0; i < network.taps; i++)
		str_copy(l.machine[i], sizeof(l.machine[i]), network.tap[i].machine);
	if (ipc_send(fd, &l, sizeof(l), (struct bytes){ 0 }, NULL, 0, &e) < 0)
		log_err(&e, "answering");
}

/* False: the connection is done. */
static bool serve(int fd)
{
	struct net_tap ask;
	struct err e;
	size_t len;
	int r = ipc_recv(fd, &ask, sizeof(ask), &len, NULL, NULL, &e);
	if (r == -EAGAIN)
		return true;
	if (r < 0 || !len)
		return false;
	if (len != sizeof(ask) || ask.head.version > NET_VERSION) {
		log_warn("a message of %zu bytes, version %u: not ours", len,
		    len == sizeof(ask) ? ask.head.version : 0);
		return false;
	}
	switch (ask.head.type) {
	case NET_TAP_OPEN:
	case NET_TAP_REMOVE: answer_tap(fd, &ask); return true;
	case NET_TAP_LIST: answer_list(fd, &ask); return true;
	default: log_warn("unknown message %u", ask.head.type); return false;
	}
}

static int accept_agent(int listen_fd)
{
	cleanup_close int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	uid_t uid;
	enum daemon who;
	struct err e;
	if (fd < 0)
		return -1;
	if (ipc_peer(fd, &uid, &who, &e) < 0 || who != DAEMON_AGENT) {
		log_warn("uid %u may not ask ward-net", (unsigned)uid);
		return -1;
	}
	return steal_fd(&fd);
}

static int loop(int listen_fd, struct err *e)
{
	struct pollfd p[1 + CONNECTIONS_MAX] = { { .fd = listen_fd, .events = POLLIN } };
	nfds_t n = 1;
	for (;;) {
		p[0].events = n < countof(p) ? POLLIN : 0; /* the rest waits in the backlog */
		if (poll(p, n, -1) < 0 && errno != EINTR)
			return err_sys(e, errno, "cannot wait for questions");
		nfds_t had = n;
		if (p[0].revents && n < countof(p)) {
			int fd = accept_agent(listen_fd);
			if (fd >= 0)
				p[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		}
		for (nfds_t i = had; i-- > 1;) {
			if (!p[i].revents || serve(p[i].fd))
				continue;
			close(p[i].fd);
			p[i] = p[--n];
		}
	}
}

static int options(struct places *places, int argc, char **argv, struct err *e)
{
	const char *range = NET_PLAN_DEFAULT;
	int r = places_from_args(places, &argc, &argv, e);
	if (r < 0)
		return r;
	for (int i = 1; i < argc; i += 2) {
		const char **to = streq(argv[i], "--private-ipv4") ? &range
				  : streq(argv[i], "--tun")        ? &network.tun
								   : NULL;
		if (!to || i + 1 >= argc)
			return err_set(e, ERR_INVALID,
			    "usage: ward-net [--root DIR] [--instance NAME] [--private-ipv4 CIDR] "
			    "[--tun PATH]");
		*to = argv[i + 1];
	}
	network.rules.instance = places->instance;
	return net_plan_parse(&network.rules.plan, range, e);
}

int main(int argc, char **argv)
{
	static struct places places;
	struct err e;
	gid_t gid;
	log_init("ward-net");
	signal(SIGPIPE, SIG_IGN);
	int r = options(&places, argc, argv, &e);
	if (r == 0)
		r = daemon_users_load(&e);
	if (r == 0)
		r = daemon_ids(DAEMON_EDGE, &network.rules.edge, &gid, &e);
	if (r == 0)
		r = daemon_ids(DAEMON_DNS, &network.rules.dns, &gid, &e);
	int listen_fd = daemon_passed_fd("net");
	if (r == 0 && listen_fd < 0)
		r = err_set(&e, ERR_INVALID, "no socket was passed under the name \"net\"");
	if (r == 0)
		r = network_start(&network, &e);
	/* taps are opened by path (/dev/net/tun); addresses, routes and rules by netlink; the agent
	 * comes by a unix socket */
	if (r == 0)
		r = confine(CONFINE_FILES_READ | CONFINE_FILES_WRITE | CONFINE_TUN |
				CONFINE_NETLINK | CONFINE_UNIX,
		    &e);
	if (r == 0) {
		log_info("serving %zu taps of instance %s", network.taps, places.instance);
		r = loop(listen_fd, &e);
	}
	if (r < 0)
		log_err(&e, "ward-net");
	network_stop(&network);
	return 1;
}
