/* The small app of the end-to-end tests: one static program, a thread for each connection.
 *
 *   /            hello from $IMAGE_VERSION        /health   200, or 500 with HEALTH=fail
 *   /id          the machine's id                 /env      the environment as JSON
 *   /boot-id     the kernel's own                 /headers  the request's head, as it came
 *   /log?from=&to=  prints numbered lines         /slow?ms= answers later
 *   /bytes?n=    n bytes                          /echo     the body
 *   /crash       abort()                          /ws       WebSocket echo
 *
 * Environment: PORT (8080), HEALTH, CRASH_AT_START (exit with this code), START_DELAY_MS, TALK_MS
 * (a numbered line so often, and "said N" as the last). As a command: exec-test N, dial ADDRESS
 * PORT, addresses. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guestapp/ws.h"

enum { HEAD_MAX = 32768 };

static atomic_int active;
extern char **environ;

static const char *env_or(const char *name, const char *otherwise)
{
	const char *v = getenv(name);
	return v && *v ? v : otherwise;
}

static int send_all(int fd, const void *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
		if (k <= 0)
			return -1;
		p = (const char *)p + k;
		n -= (size_t)k;
	}
	return 0;
}

static int answer(int fd, int status, const char *type, const void *body, size_t n, int head_only)
{
	char head[256];
	int len = snprintf(head, sizeof(head),
	    "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", status,
	    status == 200 ? "OK" : "Error", type, n);
	return send_all(fd, head, (size_t)len) || (!head_only && send_all(fd, body, n)) ? -1 : 0;
}

static int text(int fd, int status, const char *body, int head_only)
{
	return answer(fd, status, "text/plain", body, strlen(body), head_only);
}

static long number(const char *query, const char *key, long otherwise)
{
	char pattern[32];
	snprintf(pattern, sizeof(pattern), "%s=", key);
	const char *p = strstr(query, pattern);
	return p ? strtol(p + strlen(pattern), NULL, 10) : otherwise;
}

static size_t json_string(char *dst, const char *s)
{
	size_t n = 0;
	dst[n++] = '"';
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c < 0x20 || c == '"' || c == '\\')
			n += (size_t)sprintf(dst + n, "\\u%04x", c);
		else
			dst[n++] = (char)c;
	}
	dst[n++] = '"';
	return n;
}

static int environment(int fd)
{
	size_t room = 16, n = 0;
	for (char **e = environ; *e; e++)
		room += 6 * strlen(*e) + 16;
	char *out = malloc(room);
	if (!out)
		return -1;
	out[n++] = '{';
	for (char **e = environ; *e; e++) {
		char name[256];
		size_t k = strcspn(*e, "=");
		if (k >= sizeof(name) || !(*e)[k])
			continue;
		memcpy(name, *e, k);
		name[k] = 0;
		if (n > 1)
			out[n++] = ',';
		n += json_string(out + n, name);
		out[n++] = ':';
		n += json_string(out + n, *e + k + 1);
	}
	out[n++] = '}';
	int r = answer(fd, 200, "application/json", out, n, 0);
	free(out);
	return r;
}

static int bytes(int fd, long n)
{
	char piece[4096];
	memset(piece, 'x', sizeof(piece));
	char head[160];
	int len = snprintf(head, sizeof(head),
	    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: "
	    "%ld\r\n\r\n",
	    n);
	int r = send_all(fd, head, (size_t)len);
	for (; r == 0 && n > 0; n -= (long)sizeof(piece))
		r = send_all(fd, piece, n < (long)sizeof(piece) ? (size_t)n : sizeof(piece));
	return r;
}

static int log_lines(int fd, long from, long to, int head_only)
{
	for (long i = from; i <= to; i++)
		printf("line %ld\n", i);
	fflush(stdout);
	return text(fd, 200, "logged\n", head_only);
}

/* head: the request's, NUL-terminated; body: its n bytes. */
static int route(int fd, char *head, const char *path, const char *body, size_t n, int head_only)
{
	const char *query = strchr(path, '?');
	size_t len = query ? (size_t)(query - path) : strlen(path);
	query = query ? query + 1 : "";
	char out[512];
#define IS(p) (len == strlen(p) && !strncmp(path, p, len))
	if (IS("/health"))
		return strcmp(env_or("HEALTH", "ok"), "fail")
			   ? text(fd, 200, "ok\n", head_only)
			   : text(fd, 500, "failing on purpose\n", head_only);
	if (IS("/id"))
		return text(fd, 200, env_or("FLY_MACHINE_ID", "none"), head_only);
	if (IS("/env"))
		return environment(fd);
	if (IS("/headers"))
		return text(fd, 200, head, head_only);
	if (IS("/echo"))
		return answer(fd, 200, "application/octet-stream", body, n, head_only);
	if (IS("/bytes"))
		return bytes(fd, number(query, "n", 1024));
	if (IS("/log"))
		return log_lines(fd, number(query, "from", 1), number(query, "to", 1), head_only);
	if (IS("/slow")) {
		usleep((useconds_t)number(query, "ms", 1000) * 1000);
		return text(fd, 200, "slept\n", head_only);
	}
	if (IS("/crash"))
		abort();
	if (IS("/boot-id")) {
		FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
		if (!f || !fgets(out, sizeof(out), f))
			out[0] = 0;
		if (f)
			fclose(f);
		return text(fd, *out ? 200 : 500, out, head_only);
	}
	if (IS("/ws")) {
		ws_serve(fd, head);
		return -1;
	}
	if (IS("/")) {
		snprintf(out, sizeof(out), "hello from %.100s, version %.100s, machine %.40s\n",
		    env_or("IMAGE_VERSION", "nothing"), env_or("VERSION", "-"),
		    env_or("FLY_MACHINE_ID", "none"));
		return text(fd, 200, out, head_only);
	}
	return text(fd, 404, "nothing here\n", head_only);
}

static const char *header(const char *head, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = head; (p = strstr(p, "\r\n"));) {
		p += 2;
		if (!strncasecmp(p, name, n) && p[n] == ':')
			return p + n + 1 + strspn(p + n + 1, " ");
	}
	return NULL;
}

/* One request and its answer; *have bytes are in buf already. 0: the connection goes on. */
static int one_request(int fd, char *buf, size_t *have)
{
	char *end;
	buf[*have] = 0;
	while (!(end = strstr(buf, "\r\n\r\n"))) {
		ssize_t k = *have < HEAD_MAX ? recv(fd, buf + *have, HEAD_MAX - *have, 0) : 0;
		if (k <= 0)
			return -1;
		*have += (size_t)k;
		buf[*have] = 0;
	}
	size_t head_len = (size_t)(end - buf) + 4;
	char *head = strndup(buf, head_len);
	const char *length = head ? header(head, "Content-Length") : NULL,
		   *connection = head ? header(head, "Connection") : NULL;
	size_t n = length ? strtoul(length, NULL, 10) : 0,
	       got = *have - head_len < n ? *have - head_len : n;
	char *body = malloc(n + 1);
	int r = head && body ? 0 : -1;
	if (r == 0)
		memcpy(body, buf + head_len, got);
	*have -= head_len + got;
	memmove(buf, buf + head_len + got, *have);
	while (r == 0 && got < n) {
		ssize_t k = recv(fd, body + got, n - got, 0);
		if (k <= 0)
			r = -1;
		else
			got += (size_t)k;
	}
	char method[16], path[8192];
	if (r == 0 && sscanf(head, "%15s %8191s", method, path) != 2)
		r = -1;
	if (r == 0)
		r = route(fd, head, path, body, n, !strcmp(method, "HEAD"));
	if (r == 0 && connection && !strncasecmp(connection, "close", 5))
		r = -1;
	free(head);
	free(body);
	return r;
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	size_t have = 0;
	char *buf = malloc(HEAD_MAX + 1);
	while (buf && one_request(fd, buf, &have) == 0)
		;
	free(buf);
	close(fd);
	active--;
	return NULL;
}

/* Both families where the machine has IPv6, else IPv4 alone. */
static int listen_on(int port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int on = 1, off = 0, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		if (bind(fd, (struct sockaddr *)&six, sizeof(six)) == 0 && listen(fd, 512) == 0)
			return fd;
		close(fd);
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return bind(fd, (struct sockaddr *)&four, sizeof(four)) == 0 && listen(fd, 512) == 0 ? fd
											     : -1;
}

static pthread_mutex_t speech = PTHREAD_MUTEX_INITIALIZER;
static int said;

static void *talk(void *arg)
{
	int ms = *(int *)arg;
	for (;;) {
		pthread_mutex_lock(&speech);
		printf("tick %d\n", ++said);
		fflush(stdout);
		pthread_mutex_unlock(&speech);
		usleep((useconds_t)ms * 1000);
	}
	return NULL;
}

/* Asked to stop: no new connections, what is under way gets two seconds. */
static void *on_signal(void *arg)
{
	int sig;
	sigwait(arg, &sig);
	printf("stopping by signal %d\n", sig);
	fflush(stdout);
	if (getenv("TALK_MS")) {
		pthread_mutex_lock(&speech); /* for good: this is the last line */
		printf("said %d\n", said);
		fflush(stdout);
	}
	for (int i = 0; i < 200 && active > 0; i++)
		usleep(10000);
	_exit(0);
}

static int run_server(void)
{
	static sigset_t set;
	pthread_t thread;
	int port = atoi(env_or("PORT", "8080"));
	if (getenv("CRASH_AT_START")) {
		fprintf(stderr, "crashing at start, on purpose\n");
		return atoi(getenv("CRASH_AT_START"));
	}
	usleep((useconds_t)atoi(env_or("START_DELAY_MS", "0")) * 1000);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_create(&thread, NULL, on_signal, &set);
	int listener = listen_on(port);
	if (listener < 0) {
		perror("listen");
		return 1;
	}
	printf("listening on %d\n", port);
	fflush(stdout);
	static int talk_ms;
	talk_ms = atoi(env_or("TALK_MS", "0"));
	if (talk_ms > 0)
		pthread_create(&thread, NULL, talk, &talk_ms);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		active++;
		if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd)) {
			active--;
			close(fd);
		} else {
			pthread_detach(thread);
		}
	}
}

/* Says "connected", "refused", "timeout", "no such name" or another reason, and ends with 0. */
static int dial(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	const char *verdict = "no such name";
	if (getaddrinfo(host, port, &hints, &list))
		list = NULL;
	for (struct addrinfo *a = list; a; a = a->ai_next) {
		int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
		socklen_t len = sizeof(error);
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		if (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
			error = errno;
		else if (poll(&p, 1, 3000) <= 0)
			error = ETIMEDOUT;
		else
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
		close(fd);
		verdict = error == 0              ? "connected"
			  : error == ECONNREFUSED ? "refused"
			  : error == ETIMEDOUT    ? "timeout"
						  : strerror(error);
		if (!error)
			break;
	}
	puts(verdict);
	if (list)
		freeaddrinfo(list);
	return 0;
}

static int addresses(void)
{
	struct ifaddrs *list;
	if (getifaddrs(&list) < 0)
		return 1;
	for (struct ifaddrs *i = list; i; i = i->ifa_next) {
		char name[64];
		int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
		socklen_t len =
		    family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
		if ((family == AF_INET || family == AF_INET6) && !(i->ifa_flags & IFF_LOOPBACK) &&
		    !getnameinfo(i->ifa_addr, len, name, sizeof(name), NULL, 0, NI_NUMERICHOST) &&
		    strncmp(name, "fe80", 4))
			puts(name);
	}
	freeifaddrs(list);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "exec-test")) {
		puts("to stdout");
		fputs("to stderr\n", stderr);
		return atoi(argv[2]);
	}
	if (argc == 4 && !strcmp(argv[1], "dial"))
		return dial(argv[2], argv[3]);
	if (argc == 2 && !strcmp(argv[1], "addresses"))
		return addresses();
	return run_server();
}
