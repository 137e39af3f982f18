/* GET /ps: processes with the fields of the Machines API's ProcessStat, listening sockets included.
 */
#include "base/json.h"
#include "base/str.h"
#include "guest/calls.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>

enum { PROCESSES_MAX = 512, SOCKETS_MAX = 256 };

struct listening {
	unsigned long inode;
	char proto[5], address[INET6_ADDRSTRLEN + 10];
};

static struct listening sockets[SOCKETS_MAX];
static size_t nsockets;

/* One line of /proc/net/{tcp,udp}{,6}: addresses are the kernel's words in hex, each in host order.
 */
static void take_socket(const char *line, const char *proto, bool six)
{
	char local[33];
	unsigned port, state;
	unsigned long inode;
	uint32_t word[4] = { 0 };
	char text[INET6_ADDRSTRLEN];
	if (sscanf(line, " %*d: %32[0-9A-F]:%x %*32[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu",
		local, &port, &state, &inode) != 4 ||
	    nsockets == SOCKETS_MAX || state != (str_starts(proto, "tcp") ? 10 : 7))
		return;
	for (int i = 0; i < (six ? 4 : 1); i++) {
		char eight[9];
		memcpy(eight, local + 8 * i, 8);
		eight[8] = 0;
		word[i] = (uint32_t)strtoul(eight, NULL, 16);
	}
	if (!inet_ntop(six ? AF_INET6 : AF_INET, word, text, sizeof text))
		return;
	struct listening *s = &sockets[nsockets++];
	s->inode = inode;
	(void)str_copy(s->proto, sizeof s->proto, str_starts(proto, "tcp") ? "tcp" : "udp");
	snprintf(s->address, sizeof s->address, six ? "[%s]:%u" : "%s:%u", text, port);
}

static void read_sockets(void)
{
	static const char *const files[] = { "tcp", "tcp6", "udp", "udp6" };
	nsockets = 0;
	for (size_t i = 0; i < countof(files); i++) {
		char path[32], line[512];
		snprintf(path, sizeof path, "/proc/net/%s", files[i]);
		cleanup_fclose FILE *f = fopen(path, "re");
		while (f && fgets(line, sizeof line, f))
			take_socket(line, files[i], str_ends(files[i], "6"));
	}
}

static json_t *process_sockets(const char *pid)
{
	json_t *a = json_array();
	char path[300];
	snprintf(path, sizeof path, "/proc/%s/fd", pid);
	DIR *d = opendir(path);
	if (!d)
		return a;
	for (struct dirent *de; (de = readdir(d));) {
		char target[64];
		unsigned long inode;
		ssize_t n = readlinkat(dirfd(d), de->d_name, target, sizeof target - 1);
		if (n <= 0)
			continue;
		target[n] = 0;
		if (sscanf(target, "socket:[%lu]", &inode) != 1)
			continue;
		for (size_t i = 0; i < nsockets; i++)
			if (sockets[i].inode == inode)
				(void)json_array_append_new(
				    a, json_pack("{s:s, s:s}", "proto", sockets[i].proto, "address",
					   sockets[i].address));
	}
	closedir(d);
	return a;
}

static ssize_t read_file(const char *pid, const char *name, char *dst, size_t size)
{
	char path[300];
	snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, dst, size - 1);
	if (n >= 0)
		dst[n] = 0;
	return n;
}

static json_t *process(const char *pid)
{
	char stat[1024], cmd[1024], dir[PATH_MAX], path[300];
	unsigned long long utime = 0, stime = 0, start = 0;
	long rss = 0;
	long hz = sysconf(_SC_CLK_TCK);
	if (read_file(pid, "stat", stat, sizeof stat) <= 0)
		return NULL;
	const char *after = strrchr(stat, ')');
	if (!after || sscanf(after + 1,
			  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d "
			  "%*d %*d %llu %*u %ld",
			  &utime, &stime, &start, &rss) != 4)
		return NULL;
	ssize_t n = read_file(pid, "cmdline", cmd, sizeof cmd);
	if (n <= 0)
		return NULL; /* a kernel thread, or gone */
	for (ssize_t i = 0; i < n - 1; i++)
		if (!cmd[i])
			cmd[i] = ' ';
	snprintf(path, sizeof path, "/proc/%s/cwd", pid);
	n = readlink(path, dir, sizeof dir - 1);
	dir[n > 0 ? n : 0] = 0;
	double up = 0;
	char text[64];
	if (read_file("", "uptime", text, sizeof text) > 0)
		up = strtod(text, NULL);
	double busy = (double)(utime + stime) / (double)hz, age = up - (double)start / (double)hz;
	json_t *command = json_string(cmd), *directory = json_string(dir); /* NULL when not UTF-8 */
	return json_pack("{s:i, s:o, s:o, s:I, s:I, s:I, s:I, s:o}", "pid",
	    (int)strtol(pid, NULL, 10), "command", command ? command : json_string("?"),
	    "directory", directory ? directory : json_string("?"), "cpu",
	    (json_int_t)(age > 0 ? 100 * busy / age : 0), "rss",
	    (json_int_t)rss * sysconf(_SC_PAGESIZE), "rtime",
	    (json_int_t)(1000 * utime / (unsigned long long)hz), "stime",
	    (json_int_t)(1000 * stime / (unsigned long long)hz), "listen_sockets",
	    process_sockets(pid));
}

void call_ps(struct call *c)
{
	json_t *a = json_array();
	DIR *d = opendir("/proc");
	read_sockets();
	for (struct dirent *de; d && json_array_size(a) < PROCESSES_MAX && (de = readdir(d));) {
		json_t *p =
		    de->d_name[0] >= '1' && de->d_name[0] <= '9' ? process(de->d_name) : NULL;
		if (p)
			(void)json_array_append_new(a, p);
	}
	if (d)
		closedir(d);
	call_reply(c, 200, a);
}
