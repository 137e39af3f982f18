#include "base/cgroup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

static const char *const controllers[CGROUP_MAX] = { "cpu", "memory", "pids" };

static bool in_list(const char *list, const char *word, const char *separators)
{
	size_t len = strlen(word);
	for (const char *p = list; *p;) {
		size_t n = strcspn(p, separators);
		if (n == len && !memcmp(p, word, len))
			return true;
		p += n + (p[n] != 0);
	}
	return false;
}

static bool v2_has(const char *mount, const char *controller)
{
	char path[PATH_MAX];
	cleanup_free char *text = NULL;
	struct err e;
	snprintf(path, sizeof(path), "%s/cgroup.controllers", mount);
	return file_read(AT_FDCWD, path, 4096, &text, NULL, &e) == 0 &&
	       in_list(text, controller, " \n");
}

/* One line of mountinfo (proc(5)): "36 35 98:0 /root /mount options - type source superoptions". */
static void take_line(struct cgroups *c, char *line, bool (*has)(const char *, const char *))
{
	char *sep = strstr(line, " - "), *field[5], *type[3], *save = NULL;
	if (!sep)
		return;
	*sep = 0;
	for (size_t i = 0; i < countof(field); i++)
		if (!(field[i] = strtok_r(i ? NULL : line, " ", &save)))
			return;
	for (size_t i = 0; i < countof(type); i++)
		if (!(type[i] = strtok_r(i ? NULL : sep + 3, " ", &save)))
			return;
	bool v2 = streq(type[0], "cgroup2");
	if (!v2 && !streq(type[0], "cgroup"))
		return;
	for (int i = 0; i < CGROUP_MAX; i++) {
		bool here =
		    v2 ? has(field[4], controllers[i]) : in_list(type[2], controllers[i], ",\n");
		if (!here || c->mount[i][0] ||
		    !str_copy(c->mount[i], sizeof(c->mount[i]), field[4]))
			continue;
		c->v2[i] = v2;
	}
}

int cgroups_parse(struct cgroups *ret, const char *mountinfo,
    bool (*has)(const char *, const char *), struct err *e)
{
	struct cgroups c = { 0 };
	char *copy = strdup(mountinfo);
	if (!copy)
		return err_set(e, ERR_NO_MEMORY, "no memory for the list of mounts");
	char *save = NULL;
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		take_line(&c, line, has);
	free(copy);
	for (int i = 0; i < CGROUP_MAX; i++)
		if (!c.mount[i][0])
			return err_set(e, ERR_WALL,
			    "no mounted cgroup hierarchy has the controller \"%s\"",
			    controllers[i]);
	*ret = c;
	return 0;
}

int cgroups_find(struct cgroups *ret, struct err *e)
{
	cleanup_free char *text = NULL;
	int r = file_read(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &text, NULL, e);
	return r < 0 ? r : cgroups_parse(ret, text, v2_has, e);
}

/* Is hierarchy i the same as an earlier one? Then it is done already. */
static bool repeated(const struct cgroups *c, int i)
{
	for (int k = 0; k < i; k++)
		if (streq(c->mount[k], c->mount[i]))
			return true;
	return false;
}

static void path_of(
    char dst[PATH_MAX], const struct cgroups *c, int i, const char *name, const char *file)
{
	snprintf(dst, PATH_MAX, "%s/%s%s%s", c->mount[i], name, file ? "/" : "", file ? file : "");
}

static int put(const struct cgroups *c, int i, const char *name, const char *file,
    const char *value, struct err *e)
{
	char path[PATH_MAX];
	path_of(path, c, i, name, file);
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(e, errno, "cannot open %s", path);
	if (write(fd, value, strlen(value)) < 0)
		return err_sys(e, errno, "cannot write \"%s\" to %s", value, path);
	return 0;
}

/* Each folder on the way; on v2 each hands the controllers down. */
static int make_in(const struct cgroups *c, int i, const char *name, struct err *e)
{
	char path[PATH_MAX], part[PATH_MAX] = "";
	for (const char *p = name;; p++) {
		p += strcspn(p, "/");
		if (c->v2[i])
			for (int k = 0; k < CGROUP_MAX; k++) {
				char plus[16];
				snprintf(plus, sizeof(plus), "+%s", controllers[k]);
				int r = streq(c->mount[k], c->mount[i])
					    ? put(c, i, part, "cgroup.subtree_control", plus, e)
					    : 0;
				if (r < 0)
					return r;
			}
		snprintf(part, sizeof(part), "%.*s", (int)(p - name), name);
		path_of(path, c, i, part, NULL);
		if (mkdir(path, 0755) && errno != EEXIST)
			return err_sys(e, errno, "cannot make the cgroup %s", path);
		if (!*p)
			return 0;
	}
}

static int limit(
    const struct cgroups *c, const char *name, const struct cgroup_limits *l, struct err *e)
{
	enum { PERIOD_US = 100000 };
	char value[48];
	int r = 0;
	if (l->cpu_percent) {
		uint64_t quota = (uint64_t)l->cpu_percent * (PERIOD_US / 100);
		snprintf(value, sizeof(value), c->v2[CGROUP_CPU] ? "%llu %d" : "%llu",
		    (unsigned long long)quota, PERIOD_US);
		r = put(c, CGROUP_CPU, name, c->v2[CGROUP_CPU] ? "cpu.max" : "cpu.cfs_quota_us",
		    value, e);
	}
	if (r == 0 && l->memory) {
		bool v2 = c->v2[CGROUP_MEMORY];
		snprintf(value, sizeof(value), "%llu", (unsigned long long)l->memory);
		r = put(
		    c, CGROUP_MEMORY, name, v2 ? "memory.max" : "memory.limit_in_bytes", value, e);
		/* a kernel without swap, or that does not count it, lacks the file */
		int k = r < 0 ? r
			      : put(c, CGROUP_MEMORY, name,
				    v2 ? "memory.swap.max" : "memory.swappiness", "0", e);
		r = k == -ENOENT ? 0 : k;
	}
	if (r == 0 && l->pids) {
		snprintf(value, sizeof(value), "%u", l->pids);
		r = put(c, CGROUP_PIDS, name, "pids.max", value, e);
	}
	return r;
}

int cgroup_make(
    const struct cgroups *c, const char *name, const struct cgroup_limits *l, struct err *e)
{
	for (int i = 0; i < CGROUP_MAX; i++) {
		int r = repeated(c, i) ? 0 : make_in(c, i, name, e);
		if (r < 0)
			return r;
	}
	return limit(c, name, l, e);
}

int cgroup_enter(const struct cgroups *c, const char *name, struct err *e)
{
	for (int i = 0; i < CGROUP_MAX; i++) {
		int r = repeated(c, i) ? 0 : put(c, i, name, "cgroup.procs", "0", e);
		if (r < 0)
			return err_prefix(e, r, "cannot enter the cgroup %s", name);
	}
	return 0;
}

static int pids_in(
    const struct cgroups *c, int i, const char *name, pid_t *ret, size_t room, struct err *e)
{
	char path[PATH_MAX];
	path_of(path, c, i, name, "cgroup.procs");
	cleanup_fclose FILE *f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : err_sys(e, errno, "cannot open %s", path);
	int n = 0;
	char line[24];
	for (uint64_t pid; fgets(line, sizeof(line), f);) {
		line[strcspn(line, "\n")] = 0;
		if (!str_u64(line, INT32_MAX, &pid))
			return err_set(e, ERR_SYSTEM, "%s reads strangely", path);
		if ((size_t)n < room)
			ret[n] = (pid_t)pid;
		n++;
	}
	return n;
}

int cgroup_pids(const struct cgroups *c, const char *name, pid_t *ret, size_t room, struct err *e)
{
	return pids_in(c, CGROUP_PIDS, name, ret, room, e);
}

int cgroup_kill(const struct cgroups *c, const char *name, int timeout_ms, struct err *e)
{
	enum { BATCH = 512, PAUSE_MS = 5 };
	uint64_t end = clock_mono_ms() + (uint64_t)MAX(timeout_ms, 0);
	for (;;) {
		int left = 0;
		for (int i = 0; i < CGROUP_MAX; i++) {
			pid_t pids[BATCH] = { 0 };
			int n = repeated(c, i) ? 0 : pids_in(c, i, name, pids, BATCH, e);
			if (n < 0)
				return n;
			for (int k = 0; k < MIN(n, BATCH); k++)
				if (pids[k] > 0) /* 0: of a namespace that we do not see */
					kill(pids[k], SIGKILL);
			left += n;
		}
		if (!left)
			return 0;
		if (clock_mono_ms() >= end) {
			err_set(e, ERR_TIMEOUT,
			    "processes of the cgroup %s are not gone after %d ms", name,
			    timeout_ms);
			return -EBUSY;
		}
		nanosleep(&(struct timespec){ .tv_nsec = PAUSE_MS * 1000000L }, NULL);
	}
}

/* Child groups first. A cgroup's files cannot be unlinked; only rmdir counts. */
static int remove_in(const char *path, unsigned depth)
{
	enum { DEPTH_MAX = 8 };
	DIR *d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	int r = 0;
	for (struct dirent *de; r == 0 && (de = readdir(d));) {
		char below[PATH_MAX];
		if (de->d_type != DT_DIR || de->d_name[0] == '.' || depth >= DEPTH_MAX)
			continue;
		int n = snprintf(below, sizeof(below), "%s/%s", path, de->d_name);
		r = n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : remove_in(below, depth + 1);
	}
	closedir(d);
	/* processes just killed may hold it a moment longer */
	for (int i = 0; r == 0 && rmdir(path) && errno != ENOENT; i++) {
		if (errno != EBUSY || i == 20)
			r = -errno;
		else
			nanosleep(&(struct timespec){ .tv_nsec = 2000000L }, NULL);
	}
	return r;
}

int cgroup_remove(const struct cgroups *c, const char *name, struct err *e)
{
	for (int i = 0; i < CGROUP_MAX; i++) {
		char path[PATH_MAX];
		path_of(path, c, i, name, NULL);
		int r = repeated(c, i) ? 0 : remove_in(path, 0);
		if (r < 0)
			return err_sys(e, -r, "cannot remove the cgroup %s", path);
	}
	return 0;
}

bool cgroup_exists(const struct cgroups *c, const char *name)
{
	char path[PATH_MAX];
	path_of(path, c, CGROUP_PIDS, name, NULL);
	return access(path, F_OK) == 0;
}

uint64_t cgroup_oom_kills(const struct cgroups *c, const char *name)
{
	char path[PATH_MAX];
	cleanup_free char *text = NULL;
	struct err e;
	path_of(path, c, CGROUP_MEMORY, name,
	    c->v2[CGROUP_MEMORY] ? "memory.events" : "memory.oom_control");
	if (file_read(AT_FDCWD, path, 4096, &text, NULL, &e) < 0)
		return 0;
	const char *at = strstr(text, "oom_kill ");
	return at && (at == text || at[-1] == '\n') ? strtoull(at + strlen("oom_kill "), NULL, 10)
						    : 0;
}
