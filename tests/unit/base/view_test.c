#include "../unit.h"
#include "base/rights.h"
#include "base/view.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

/* Runs act in a child with mounts of its own: its exit code. */
static int apart(int (*act)(const char *at))
{
	char at[] = "/tmp/ward-view-XXXXXX";
	assert_non_null(mkdtemp(at));
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWNS) ? 77 : act(at));
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(rmdir(at), 0); /* nothing was left in it */
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int build(const char *at)
{
	struct view v;
	struct err e = { 0 };
	if (view_begin(&v, at, &e) < 0 || view_system(&v, &e) < 0 || view_devices(&v, &e) < 0 ||
	    view_file(&v, "/etc/motd", "hello", &e) < 0 ||
	    view_tmpfs(&v, "/tmp", "mode=1777,size=64k", &e) < 0 ||
	    view_add(&v, "/var/log", VIEW_WRITABLE, &e) < 0 ||
	    view_add(&v, "/nonexistent", VIEW_OPTIONAL, &e) < 0 ||
	    view_add(&v, "/etc/hostname", 0, &e) < 0)
		return 2;
	if (view_add(&v, "/nonexistent", 0, &e) != -ENOENT)
		return 3;
	return view_finish(&v, &e) < 0 ? 4 : 0;
}

static int refused(const char *path, int flags, int num)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	return fd >= 0 || errno != num;
}

static int look(const char *at)
{
	int r = build(at);
	if (r)
		return r;
	char text[8] = "";
	int fd = open("/etc/motd", O_RDONLY);
	if (fd < 0 || read(fd, text, 7) != 5)
		return 10;
	if (refused("/etc/shadow", O_RDONLY, ENOENT) || refused("/root", O_RDONLY, ENOENT) ||
	    refused("/proc", O_RDONLY, ENOENT) || refused(at, O_RDONLY, ENOENT))
		return 11;
	if (refused("/new", O_CREAT | O_WRONLY, EROFS) ||
	    refused("/usr/new", O_CREAT | O_WRONLY, EROFS) ||
	    refused("/etc/hostname", O_RDWR, EROFS))
		return 12;
	if (open("/tmp/new", O_CREAT | O_WRONLY, 0600) < 0 || open("/dev/null", O_RDWR) < 0 ||
	    access("/bin/sh", X_OK))
		return 13;
	/* a device made where devices do not work cannot be opened */
	if (mknod("/tmp/zero", S_IFCHR | 0666, makedev(1, 5)) == 0 &&
	    refused("/tmp/zero", O_RDONLY, EACCES))
		return 14;
	return 0;
}

static void only_what_was_put_in_is_there(void **state)
{
	if (getuid() != 0)
		skip();
	assert_int_equal(apart(look), 0);
}

static int drop(const char *at)
{
	struct err e;
	const gid_t groups[] = { 4321 };
	gid_t got[4];
	if (rights_drop(65000, 65001, groups, 1, 1ULL << 13 /* CAP_NET_RAW */, &e) < 0)
		return 2;
	if (getuid() != 65000 || getegid() != 65001 || getgroups(4, got) != 1 || got[0] != 4321)
		return 3;
	return setuid(0) == 0 || setgroups(0, NULL) == 0 ||
	       refused("/etc/shadow", O_RDONLY, EACCES);
}

static void rights_do_not_come_back(void **state)
{
	if (getuid() != 0)
		skip();
	assert_int_equal(apart(drop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_was_put_in_is_there),
		cmocka_unit_test(rights_do_not_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
