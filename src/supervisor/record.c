#include "supervisor/record.h"
#include "base/file.h"
#include "base/str.h"
#include <fcntl.h>
#include <sys/syscall.h>

int process_look(pid_t pid, struct process *ret, struct err *e)
{
	char path[32];
	cleanup_free char *text = NULL;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	int r = file_read(AT_FDCWD, path, 4096, &text, NULL, e);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	/* the name in parentheses may hold anything, so count from its end: state is field 3 */
	char *p = strrchr(text, ')'), *save = NULL, *word = NULL;
	if (!p)
		return err_set(e, ERR_SYSTEM, "%s reads strangely", path);
	for (int field = 3; field <= 22; field++)
		if (!(word = strtok_r(field == 3 ? p + 1 : NULL, " ", &save)))
			return err_set(e, ERR_SYSTEM, "%s reads strangely", path);
	uint64_t ticks;
	if (!str_u64(word, UINT64_MAX, &ticks))
		return err_set(e, ERR_SYSTEM, "%s reads strangely", path);
	*ret = (struct process){ pid, ticks };
	return 0;
}

int process_open(const struct process *p, struct err *e)
{
	cleanup_close int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (fd < 0) {
		int r = err_sys(e, errno, "cannot open process %d", p->pid);
		/* the number is a thread's by now */
		return r == -EINVAL || r == -ENOENT ? -ESRCH : r;
	}
	/* looked at after the pidfd is open: now the pid cannot change hands unnoticed */
	struct process now = { 0 };
	int r = process_look(p->pid, &now, e);
	if (r < 0)
		return r;
	return now.start_ticks == p->start_ticks ? steal_fd(&fd) : -ESRCH;
}

bool process_runs(pid_t pid, const char *program)
{
	char path[32], exe[300], real[300];
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	ssize_t n = readlink(path, exe, sizeof(exe) - 1);
	if (n < 0)
		return false;
	exe[n] = 0;
	static const char gone[] = " (deleted)";
	if (str_ends(exe, gone))
		exe[n - (ssize_t)strlen(gone)] = 0;
	cleanup_free char *resolved = realpath(program, NULL);
	return str_copy(real, sizeof(real), resolved ? resolved : program) && streq(exe, real);
}

static int boot_id(char dst[40], struct err *e)
{
	cleanup_free char *text = NULL;
	int r = file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, NULL, e);
	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = 0;
	return str_copy(dst, 40, text) ? 0 : err_set(e, ERR_SYSTEM, "the boot's id is too long");
}

static void path_of(char dst[200], const struct places *p, const char *folder, const char *name)
{
	snprintf(dst, 200, "%s/wardd/%s/%s", p->run, folder, name);
}

int record_write(
    const struct places *p, const char *folder, const char *name, json_t *o, struct err *e)
{
	char path[200], boot[40];
	int r = boot_id(boot, e);
	if (r < 0)
		return r;
	if (!o || json_object_set_new(o, "v", json_integer(1)) ||
	    json_object_set_new(o, "boot", json_string(boot)))
		return err_set(e, ERR_NO_MEMORY, "no memory for a record");
	path_of(path, p, folder, name);
	return json_write_file(AT_FDCWD, path, o, 0600, e);
}

int record_read(
    const struct places *p, const char *folder, const char *name, json_t **ret, struct err *e)
{
	char path[200], now[40];
	const char *boot = "";
	cleanup_json json_t *o = NULL;
	path_of(path, p, folder, name);
	int r = json_read_file(AT_FDCWD, path, 65536, &o, e);
	if (r == 0)
		r = json_need_str(o, "", "boot", &boot, e);
	if (r == 0)
		r = boot_id(now, e);
	if (r < 0)
		return r;
	if (!streq(boot, now))
		return err_set(e, ERR_NOT_FOUND, "%s is of an earlier boot", path);
	*ret = json_incref(o);
	return 0;
}

void record_remove(const struct places *p, const char *folder, const char *name)
{
	char path[200];
	path_of(path, p, folder, name);
	unlink(path);
}
