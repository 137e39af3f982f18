#include "base/clock.h"
#include "base/json.h"
#include "base/spawn.h"
#include "base/str.h"
#include "supervisor/doctor.h"
#include "supervisor/swap.h"
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>

enum { PROBE_MS = 20000 };
#define GIB (1024.0 * 1024 * 1024)

/* By ward-vmm itself, in a process of its own: a strange /dev/kvm may do anything. */
void check_kvm(const struct doctor *d, struct check *c)
{
	char program[sizeof(d->libexec) + 16];
	cleanup_free char *out = NULL;
	cleanup_json json_t *j = NULL;
	struct err e;
	const char *how = "";
	bool usable = false;
	int64_t speed = 0;
	snprintf(program, sizeof(program), "%s/ward-vmm", d->libexec);
	const char *const argv[] = { program, "--probe", NULL };
	struct spawn s = {
		.path = program, .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1
	};
	int r = spawn_run(&s, PROBE_MS, 4096, &out, &e);
	if (r == 0)
		r = json_parse(out, strlen(out), &j, &e);
	if (r == 0)
		r = json_opt_bool(j, "", "usable", &usable, &e);
	if (r == 0)
		r = json_opt_str(j, "", "how", &how, &e);
	if (r == 0)
		r = json_opt_int(j, "", "instructions_per_second", 0, INT64_MAX, &speed, &e);
	if (r < 0)
		check_set(c, CHECK_ABSENT, NULL, "could not be measured: %.200s", e.text);
	else if (usable)
		check_set(c, CHECK_OK, NULL, "usable: %.1f million instructions a second (%s)",
		    (double)speed / 1e6, how);
	else if (speed)
		check_set(c, CHECK_ABSENT, "use a host with hardware virtualisation for real data",
		    "there, but not usable: %.1f million instructions a second (%s)",
		    (double)speed / 1e6, how);
	else
		check_set(c, CHECK_ABSENT,
		    geteuid() ? "run ward doctor as root for the whole answer"
			      : "use a host with hardware virtualisation for real data",
		    "%s", how);
}

void check_swap(const struct doctor *d, struct check *c)
{
	char plain[256];
	struct err e;
	if (swap_find_plain(plain, sizeof(plain), &e) < 0)
		check_set(c, CHECK_FAIL, NULL, "%s", e.text);
	else if (plain[0])
		check_set(c, CHECK_FAIL, "swapoff -a, or put swap on an encrypted device",
		    "%s is not encrypted: machines' memory could reach the disk", plain);
	else
		check_set(c, CHECK_OK, NULL, "none that is not encrypted");
}

void check_disk(const struct doctor *d, struct check *c)
{
	struct statvfs v;
	char path[80];
	str_copy(path, sizeof(path), d->places->lib);
	while (statvfs(path, &v) && strrchr(path, '/') != path)
		*strrchr(path, '/') = 0; /* not made yet: the folder it will be in */
	double free_gib = (double)v.f_bavail * (double)v.f_frsize / GIB,
	       inodes = (double)v.f_favail;
	const char *next = "free space, or put Ward's folder on a larger disk";
	if (free_gib < 2 || (v.f_files && inodes < 10000))
		check_set(c, CHECK_FAIL, next, "%.1f GiB and %.0f files free at %s", free_gib,
		    inodes, path);
	else if (free_gib < 10)
		check_set(c, CHECK_WARN, next, "%.1f GiB free at %s", free_gib, path);
	else
		check_set(c, CHECK_OK, NULL, "%.1f GiB free at %s", free_gib, path);
}

void check_memory(const struct doctor *d, struct check *c)
{
	struct sysinfo i;
	if (sysinfo(&i)) {
		check_set(c, CHECK_FAIL, NULL, "cannot be read: %s", strerror(errno));
		return;
	}
	double gib = (double)i.totalram * i.mem_unit / GIB;
	if (gib < 1.5)
		check_set(c, CHECK_FAIL, "give this host at least 2 GiB", "%.1f GiB", gib);
	else
		check_set(c, CHECK_OK, NULL, "%.1f GiB, %d CPUs", gib, get_nprocs());
}

void check_clock(const struct doctor *d, struct check *c)
{
	struct timex t = { 0 };
	int state = adjtimex(&t);
	const uint64_t released_ms = 1767225600000; /* 2026-01-01: a clock before it is wrong */
	if (clock_wall_ms() < released_ms)
		check_set(c, CHECK_WARN, "set the clock: certificates depend on it",
		    "the clock is before Ward's own release");
	else if (state < 0 || state == TIME_ERROR || (t.status & STA_UNSYNC))
		check_set(c, CHECK_WARN, "run systemd-timesyncd or chrony",
		    "not known to be synchronised");
	else
		check_set(c, CHECK_OK, NULL, "synchronised");
}

void check_users(const struct doctor *d, struct check *c)
{
	struct err e;
	uid_t uid;
	gid_t gid;
	for (enum daemon i = 0; i < DAEMON_MAX; i++)
		if (daemon_ids(i, &uid, &gid, &e) < 0) {
			check_set(c, CHECK_FAIL, e.next, "%s", e.text);
			return;
		}
	check_set(c, CHECK_OK, NULL, "all %d system users exist", DAEMON_MAX - 1);
}

void check_programs(const struct doctor *d, struct check *c)
{
	static const struct {
		const char *path, *package;
		bool emulated; /* needed by that engine alone */
	} needed[] = { { "/usr/bin/etcd", "etcd-server", false },
		{ "/usr/bin/skopeo", "skopeo", false },
		{ "/usr/bin/qemu-system-x86_64", "qemu-system-x86", true } };
	for (size_t i = 0; i < countof(needed); i++) {
		char next[80];
		if ((needed[i].emulated &&
			d->platform.machines.engine != PLATFORM_ENGINE_EMULATED) ||
		    access(needed[i].path, X_OK) == 0)
			continue;
		snprintf(next, sizeof(next), "apt-get install %s", needed[i].package);
		check_set(c, CHECK_FAIL, next, "%s is missing", needed[i].path);
		return;
	}
	check_set(c, CHECK_OK, NULL, "etcd, skopeo%s",
	    d->platform.machines.engine == PLATFORM_ENGINE_EMULATED ? ", QEMU" : "");
}
