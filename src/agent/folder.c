#include "agent/agent.h"
#include "base/file.h"
#include "base/str.h"
#include "core/machine_json.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { RECORD_BYTES_MAX = 512 * 1024 };

static int open_folder(const struct machine *m)
{
	struct err e;
	return dir_open(m->agent->machines_fd, m->id, &e);
}

bool folder_exists(const struct machine *m)
{
	struct stat st;
	return fstatat(m->agent->machines_fd, m->id, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(st.st_mode);
}

static bool has_file(const struct machine *m, const char *name)
{
	char path[MACHINE_ID_LEN + 32];
	struct stat st;
	snprintf(path, sizeof(path), "%s/%s", m->id, name);
	return fstatat(m->agent->machines_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

bool scratch_exists(const struct machine *m)
{
	return has_file(m, "scratch.img");
}

bool root_exists(const struct machine *m)
{
	char name[sizeof(m->r.root) + 16];
	struct stat st;
	if (!str_is_hex(m->r.root, 64))
		return false;
	snprintf(name, sizeof(name), "%s.squashfs", m->r.root);
	return fstatat(m->agent->images_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

int folder_make(struct machine *m, struct err *e)
{
	return dir_make(
	    m->agent->machines_fd, m->id, 0711, e); /* the cage's own folders lie within */
}

int folder_remove(struct machine *m, struct err *e)
{
	return dir_remove(m->agent->machines_fd, m->id, e);
}

int folder_save(struct machine *m, struct err *e)
{
	if (!folder_exists(m))
		return 0; /* before the first step, or after the last: nothing to be found again */
	cleanup_close int dir = open_folder(m);
	if (dir < 0)
		return err_sys(e, -dir, "cannot open the folder of machine %s", m->id);
	cleanup_json json_t *j = json_pack("{s:i,s:o*,s:o*}", "v", RECORD_VERSION, "record",
	    machine_record_format(&m->r), "desired", m->has_copy ? desired_format(&m->copy) : NULL);
	if (!j)
		return err_set(e, ERR_NO_MEMORY, "no memory for machine.json");
	return json_write_file(dir, "machine.json", j, 0600, e);
}

static int load(struct machine *m, struct err *e)
{
	cleanup_close int dir = open_folder(m);
	if (dir < 0)
		return err_sys(e, -dir, "cannot open the folder of machine %s", m->id);
	cleanup_json json_t *j = NULL;
	json_t *record = NULL, *desired = NULL;
	int r = 0;
	if ((r = json_read_file(dir, "machine.json", RECORD_BYTES_MAX, &j, e)) < 0 ||
	    (r = record_check_version(j, "machine.json", e)) < 0 ||
	    (r = json_opt_object(j, "", "record", &record, e)) < 0 ||
	    (r = json_opt_object(j, "", "desired", &desired, e)) < 0 ||
	    (r = machine_record_parse(record, &m->r, e)) < 0)
		return r;
	if (!streq(m->r.id, m->id))
		return err_set(e, ERR_INVALID, "it belongs to machine %s", m->r.id);
	if (desired) {
		if ((r = desired_parse(desired, &m->copy, e)) < 0)
			return r;
		m->has_copy = true;
	}
	return 0;
}

int folder_load_all(struct agent *a, struct err *e)
{
	int fd = dup(a->machines_fd);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int num = errno;
		if (fd >= 0)
			close(fd);
		return err_sys(e, num, "cannot read the folder of machines");
	}
	for (struct dirent *d; (d = readdir(dir));) {
		struct err why;
		if (!id_is_machine(d->d_name))
			continue;
		struct machine *m = machine_get(a, d->d_name);
		if (!m) {
			closedir(dir);
			return err_set(e, ERR_NO_MEMORY, "no memory for the machines");
		}
		/* An unreadable record: whatever runs of it is of no recorded run and will be
		 * ended. */
		if (load(m, &why) < 0)
			log_err(&why, "machine %s begins anew", m->id);
		else if (!streq(m->r.boot_id, a->boot_id))
			machine_new_boot(&m->r, a->boot_id);
	}
	closedir(dir);
	return 0;
}

int scratch_remove(struct machine *m, struct err *e)
{
	char path[MACHINE_ID_LEN + 32];
	snprintf(path, sizeof(path), "%s/scratch.img", m->id);
	if (unlinkat(m->agent->machines_fd, path, 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "cannot remove the scratch disk of machine %s", m->id);
	return 0;
}

int scratch_make(struct machine *m, uint32_t gib, struct err *e)
{
	int r = scratch_remove(
	    m, e); /* never an old one: it would hold an old run's (encrypted) rests */
	if (r < 0)
		return r;
	char path[MACHINE_ID_LEN + 32];
	snprintf(path, sizeof(path), "%s/scratch.img", m->id);
	cleanup_close int fd = openat(m->agent->machines_fd, path,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, errno, "cannot make the scratch disk of machine %s", m->id);
	if (ftruncate(fd, (off_t)gib << 30) < 0)
		return err_sys(e, errno, "cannot size the scratch disk of machine %s", m->id);
	return 0;
}
