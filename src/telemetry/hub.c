#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/ipc_vault.h"
#include "telemetry/telemetry.h"
#include <dirent.h>
#include <fcntl.h>

enum { SCAN_MS = 500, TRIM_MS = 60000 };

static struct applog *find(const struct telemetry *t, const char *app_id)
{
	for (size_t i = 0; i < t->napps; i++)
		if (streq(t->apps[i]->app_id, app_id))
			return t->apps[i];
	return NULL;
}

int hub_applog(
    struct telemetry *t, const char *app_id, bool make, struct applog **ret, struct err *e)
{
	struct applog *a = find(t, app_id);
	if (a || !make) {
		*ret = a;
		return 0;
	}
	if (t->napps >= APPS_MAX)
		return err_set(e, ERR_CAPACITY, "logs of more than %d apps", APPS_MAX);
	uint64_t cut = 0;
	cleanup_buf struct buf key;
	buf_init(&key, SEGMENT_KEY);
	int r = vault_call(t->places.run, VAULT_DERIVE, "log-key", app_id,
	    (struct bytes){ NULL, 0 }, &key, NULL, e);
	if (r == 0 && key.len != SEGMENT_KEY)
		r = err_set(e, ERR_PROTOCOL, "the vault's log key has %zu bytes", key.len);
	if (r == 0)
		r = applog_open(
		    t->logs_dir, app_id, (const uint8_t *)key.data, &t->limits, &a, &cut, e);
	if (key.data)
		explicit_bzero(key.data, key.len);
	if (r < 0 || !a)
		return r;
	if (cut)
		log_warn("the log of app %s ended in the middle of a block: %llu bytes cut off",
		    app_id, (unsigned long long)cut);
	t->apps[t->napps++] = a;
	*ret = a;
	return 0;
}

static struct source *find_source(const struct telemetry *t, const char *machine)
{
	struct source *s = t->sources;
	while (s && !streq(source_machine(s), machine))
		s = source_next(s);
	return s;
}

/* ---- whose machine is whose ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Reads the agent's table again when it is another file than last time. What was read stays when
 * the new one cannot be. */
static void read_owners(struct telemetry *t)
{
	char path[128];
	struct stat st;
	struct err e = { 0 };
	json_t *table = NULL;
	cleanup_free char *text = NULL;
	size_t len = 0;
	snprintf(path, sizeof(path), "%s/names", t->places.run);
	cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0 || fstatat(dir, "owners.json", &st, AT_SYMLINK_NOFOLLOW) ||
	    same_file(&st, &t->owners_file))
		return;
	t->owners_file = st;
	int r = file_read(dir, "owners.json", OWNERS_FILE_MAX, &text, &len, &e);
	if (r == 0)
		r = owners_parse(text, len, &table, &e);
	if (r < 0) {
		log_err(&e, "reading whose the machines are");
		return;
	}
	json_decref(t->owners);
	t->owners = table;
}

bool hub_owner(struct telemetry *t, const char *machine, struct owner *ret)
{
	read_owners(t);
	return owners_find(t->owners, machine, ret);
}

/* A machine that went while this program was not there is in no list of what went: it is known by
 * being in none of what is. */
static void forget_gone(struct telemetry *t)
{
	struct owner o;
	read_owners(t);
	for (size_t i = 0; t->owners && i < t->napps; i++)
		for (size_t k = 0; k < t->apps[i]->nmarks; k++) {
			const char *machine = t->apps[i]->marks[k].machine;
			applog_lives(t->apps[i], machine,
			    owners_find(t->owners, machine, &o) || find_source(t, machine));
		}
}

/* All apps together: the largest gives up its oldest segment. */
static void trim_total(struct telemetry *t)
{
	for (;;) {
		uint64_t sum = 0;
		struct applog *largest = NULL;
		for (size_t i = 0; i < t->napps; i++) {
			sum += t->apps[i]->bytes;
			if (t->apps[i]->nsegments > 1 &&
			    (!largest || t->apps[i]->bytes > largest->bytes))
				largest = t->apps[i];
		}
		if (sum <= t->total_bytes || !largest || !applog_drop_oldest(largest))
			return;
	}
}

int hub_add(struct telemetry *t, struct applog *a, const char *machine, const struct taken *taken,
    struct bytes lines, struct err *e)
{
	int r = applog_add(a, machine, taken, lines, e);
	if (r == 0) {
		trim_total(t);
		serve_wake(t);
	}
	return r;
}

/* The machines are the folders below <run>/machines: new ones are followed, gone ones let go. */
static void look_for_machines(struct telemetry *t)
{
	char path[128];
	struct err e;
	snprintf(path, sizeof(path), "%s/machines", t->places.run);
	DIR *d = opendir(path);
	if (!d) {
		if (errno != ENOENT && !t->told) /* else wardd has not made it yet */
			log_error("cannot look for machines in %s: %s", path, strerror(errno));
		t->told = true;
		return;
	}
	t->told = false;
	for (struct dirent *de; (de = readdir(d));)
		if (id_is_machine(de->d_name) && !find_source(t, de->d_name) &&
		    t->nsources < SOURCES_MAX && source_start(t, de->d_name, &e) < 0)
			log_err(&e, "following machine %s", de->d_name);
	for (struct source *s = t->sources, *next; s; s = next) {
		next = source_next(s);
		if (faccessat(dirfd(d), source_machine(s), F_OK, AT_SYMLINK_NOFOLLOW) &&
		    errno == ENOENT)
			source_stop(s, true);
	}
	closedir(d);
}

static int again(sd_event_source *s, uint64_t ms)
{
	int r = sd_event_source_set_time_relative(s, ms * 1000);
	return r < 0 ? r : sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int on_scan(sd_event_source *s, uint64_t usec, void *arg)
{
	look_for_machines(arg);
	return again(s, SCAN_MS);
}

static int on_trim(sd_event_source *s, uint64_t usec, void *arg)
{
	struct telemetry *t = arg;
	forget_gone(t);
	for (size_t i = 0; i < t->napps; i++)
		applog_trim(t->apps[i], clock_wall_us());
	trim_total(t);
	return again(s, TRIM_MS);
}

/* The logs of before: so that they can be read while no machine of theirs lives, and for the bound
 * of all. The vault may be sealed or away; then each is opened when it is needed. */
static void open_logs(struct telemetry *t)
{
	int fd = openat(t->logs_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *de; (de = readdir(d));) {
		struct applog *a;
		struct err e;
		if (str_is_name(de->d_name, 63) && hub_applog(t, de->d_name, true, &a, &e) < 0) {
			log_err(&e, "opening the log of app %s", de->d_name);
			if (e.code == ERR_UNAVAILABLE || e.code == ERR_SEALED ||
			    e.code == ERR_SYSTEM)
				break; /* the vault: the others would fail alike */
		}
	}
	closedir(d);
}

int hub_start(struct telemetry *t, struct err *e)
{
	int r = http_client_new(t->loop, &t->client, e);
	if (r < 0)
		return r;
	open_logs(t);
	r = sd_event_add_time_relative(t->loop, &t->scan, CLOCK_MONOTONIC, 0, 0, on_scan, t);
	if (r >= 0)
		r = sd_event_add_time_relative(
		    t->loop, &t->trim, CLOCK_MONOTONIC, 0, 0, on_trim, t);
	return r < 0 ? err_sys(e, -r, "cannot make timers") : 0;
}

void hub_stop(struct telemetry *t)
{
	while (t->sources)
		source_stop(t->sources, false);
	http_client_free(t->client);
	sd_event_source_disable_unref(t->scan);
	sd_event_source_disable_unref(t->trim);
	for (size_t i = 0; i < t->napps; i++)
		applog_free(t->apps[i]);
	json_decref(t->owners);
}
