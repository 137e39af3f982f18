/* GET /stats: counters of the whole guest, as the kernel gives them. */
#include "base/clock.h"
#include "base/json.h"
#include "guest/calls.h"
#include "guest/root.h"
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

enum { TEXT = 16384 };

static bool read_text(const char *path, char dst[TEXT])
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, dst, TEXT - 1);
	dst[n > 0 ? n : 0] = 0;
	return n > 0;
}

static json_int_t field(const char *text, const char *name)
{
	const char *p = strstr(text, name);
	return p ? strtoll(p + strlen(name), NULL, 10) : 0;
}

static json_t *memory(void)
{
	char t[TEXT];
	(void)read_text("/proc/meminfo", t);
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "total", field(t, "MemTotal:") * 1024, "free",
	    field(t, "MemFree:") * 1024, "available", field(t, "MemAvailable:") * 1024, "cached",
	    field(t, "\nCached:") * 1024, "swap_total", field(t, "SwapTotal:") * 1024);
}

static json_t *cpu(void)
{
	char t[TEXT];
	unsigned long long v[8] = { 0 };
	(void)read_text("/proc/stat", t);
	(void)sscanf(t, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
	    &v[4], &v[5], &v[6], &v[7]);
	long hz = sysconf(_SC_CLK_TCK), cpus = sysconf(_SC_NPROCESSORS_ONLN);
	double s[8];
	for (int i = 0; i < 8; i++)
		s[i] = (double)v[i] / (double)hz;
	return json_pack("{s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "count", (int)cpus,
	    "user", s[0], "nice", s[1], "system", s[2], "idle", s[3], "iowait", s[4], "irq", s[5],
	    "softirq", s[6], "steal", s[7]);
}

static json_t *load(void)
{
	double v[3] = { 0 };
	(void)!getloadavg(v, 3);
	return json_pack("[f, f, f]", v[0], v[1], v[2]);
}

static json_t *disks(void)
{
	char t[TEXT], *save = NULL;
	json_t *a = json_array();
	(void)read_text("/proc/diskstats", t);
	for (char *line = strtok_r(t, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char name[32];
		unsigned long long rio, rsec, wio, wsec;
		if (sscanf(line, "%*u %*u %31s %llu %*u %llu %*u %llu %*u %llu", name, &rio, &rsec,
			&wio, &wsec) == 5 &&
		    !strncmp(name, "vd", 2))
			(void)json_array_append_new(
			    a, json_pack("{s:s, s:I, s:I, s:I, s:I}", "name", name, "reads",
				   (json_int_t)rio, "read_bytes", (json_int_t)rsec * 512, "writes",
				   (json_int_t)wio, "written_bytes", (json_int_t)wsec * 512));
	}
	return a;
}

static json_t *networks(void)
{
	char t[TEXT], *save = NULL;
	json_t *a = json_array();
	(void)read_text("/proc/net/dev", t);
	for (char *line = strtok_r(t, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char name[32];
		unsigned long long rb, rp, re, rd, tb, tp, te, td;
		if (sscanf(line,
			" %31[^:]: %llu %llu %llu %llu %*u %*u %*u %*u %llu %llu %llu %llu", name,
			&rb, &rp, &re, &rd, &tb, &tp, &te, &td) == 9)
			(void)json_array_append_new(a,
			    json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name", name,
				"recv_bytes", (json_int_t)rb, "recv_packets", (json_int_t)rp,
				"recv_errs", (json_int_t)re, "recv_drop", (json_int_t)rd,
				"sent_bytes", (json_int_t)tb, "sent_packets", (json_int_t)tp,
				"sent_errs", (json_int_t)te, "sent_drop", (json_int_t)td));
	}
	return a;
}

static json_t *filesystem(void)
{
	struct statvfs v = { 0 };
	cleanup_close int fd = root_open("/", O_RDONLY | O_DIRECTORY, 0);
	if (fd >= 0)
		(void)fstatvfs(fd, &v);
	return json_pack("{s:s, s:I, s:I, s:I}", "mount", "/", "total",
	    (json_int_t)v.f_blocks * (json_int_t)v.f_frsize, "free",
	    (json_int_t)v.f_bfree * (json_int_t)v.f_frsize, "available",
	    (json_int_t)v.f_bavail * (json_int_t)v.f_frsize);
}

void call_stats(struct call *c)
{
	char t[TEXT];
	(void)read_text("/proc/sys/fs/file-nr", t);
	call_reply(c, 200,
	    json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "at",
		(json_int_t)clock_wall_ms(), "uptime_ms", (json_int_t)clock_boot_ms(), "memory",
		memory(), "cpu", cpu(), "load", load(), "disk", disks(), "net", networks(),
		"filesystem", filesystem(), "filefd", field(t, "")));
}
