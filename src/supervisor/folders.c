#include "supervisor/folders.h"
#include "base/file.h"
#include "supervisor/table.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static int make(
    const char *base, const char *name, uid_t uid, gid_t gid, mode_t mode, struct err *e)
{
	char path[256];
	snprintf(path, sizeof(path), "%s%s%s", base, name ? "/" : "", name ? name : "");
	int r = dir_make(AT_FDCWD, path, mode, e);
	if (r < 0)
		return r;
	cleanup_close int fd = dir_open(AT_FDCWD, path, e);
	if (fd < 0)
		return fd;
	if (fchown(fd, uid, gid) || fchmod(fd, mode))
		return err_sys(e, errno, "cannot give %s its owner", path);
	return 0;
}

/* /a/b/c: whatever is missing, as root's. */
static int make_all(const char *path, struct err *e)
{
	char part[128];
	for (const char *p = path + 1;; p++) {
		p += strcspn(p, "/");
		snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		if (mkdir(part, 0755) && errno != EEXIST)
			return err_sys(e, errno, "cannot make %s", part);
		if (!*p)
			return 0;
	}
}

static int of_row(const struct settings *s, const struct row_def *row, struct err *e)
{
	uid_t uid;
	gid_t gid;
	int r = daemon_ids(row->user, &uid, &gid, e);
	/* the vault's folder can be entered, for the one file in it that is public: the CA's
	 * certificate */
	mode_t mode = row->user == DAEMON_VAULT ? 0711 : 0700;
	if (r == 0 && !row->oneshot)
		r = make(s->places.lib, row->name, uid, gid, mode, e);
	for (size_t i = 0; r == 0 && i < ROW_FOLDERS && row->folders[i]; i++)
		/* group: who may read along; others pass through to what they know the name of */
		r = make(s->places.lib, row->folders[i], uid, gid, 0751, e);
	if (r == 0 && row->run_folder)
		r = make(s->places.run, row->run_folder, uid, gid, row->run_mode, e);
	return r;
}

int folders_make(const struct settings *s, struct err *e)
{
	static const struct {
		const char *name;
		mode_t mode;
	} roots_run[] = { { "wardd", 0700 }, { "wardd/units", 0700 }, { "wardd/cages", 0700 },
		{ "wardd/view", 0700 } };
	const struct places *p = &s->places;
	uid_t uid;
	gid_t telemetry;
	int r = make_all(p->etc, e);
	if (r == 0)
		r = make_all(p->lib, e);
	if (r == 0)
		r = make_all(p->run, e);
	if (r == 0)
		r = make(p->lib, "log", 0, 0, 0755, e);
	if (r == 0)
		r = make(p->lib, "guest", 0, 0, 0755, e);
	for (size_t i = 0; r == 0 && i < countof(roots_run); i++)
		r = make(p->run, roots_run[i].name, 0, 0, roots_run[i].mode, e);
	/* telemetry follows each machine that it finds here; all others know theirs by name */
	if (r == 0)
		r = daemon_ids(DAEMON_TELEMETRY, &uid, &telemetry, e);
	if (r == 0)
		r = make(p->run, "machines", 0, telemetry, 0751, e);
	for (size_t i = 0; r == 0 && i < ROW_MAX; i++)
		r = of_row(s, &rows[i], e);
	if (r < 0)
		return r;
	char link[128];
	snprintf(link, sizeof(link), "%s/etcd.sock", p->run);
	if (symlink("etcd/client.sock:0", link) && errno != EEXIST)
		return err_sys(e, errno, "cannot make %s", link);
	return 0;
}
