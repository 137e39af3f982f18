/* Stands for any daemon in test_supervisor.py: writes what it was given to <lib>/<name>/started,
 * one line for each start, answers one byte to whoever connects to its first socket, and does what
 * <lib>/<name>/behave says: "fail" (ends with 3), "stubborn" (ignores SIGTERM), "child" (leaves a
 * child behind that outlives it), else waits. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned long caps(const char *which)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	unsigned long v = ~0UL;
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, which, strlen(which)))
			v = strtoul(line + strlen(which) + 1, NULL, 16);
	return v;
}

/* Can one be made? In a child: it changes who we are. */
static int user_namespace(void)
{
	int status = 1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) == 0);
	return waitpid(pid, &status, 0) != pid || status;
}

int main(int argc, char **argv)
{
	const char *root = "", *instance = "", *name = strrchr(argv[0], '/');
	char folder[256], path[300], behave[32] = "", root_list[32] = "", text[1024];
	if (!name) /* a link in a cage */
		return pause();
	name += strlen("/ward-");
	for (int i = 1; i + 1 < argc; i++) {
		root = strcmp(argv[i], "--root") ? root : argv[i + 1];
		instance = strcmp(argv[i], "--instance") ? instance : argv[i + 1];
	}
	snprintf(folder, sizeof(folder), "%s/var/lib/%s/%s", root, instance, name);
	snprintf(path, sizeof(path), "%s/behave", folder);
	int fd = open(path, O_RDONLY), fds = 0;
	if (fd >= 0 && read(fd, behave, sizeof(behave) - 1) < 0)
		return 9;
	close(fd);
	for (int i = 0; i < 1024; i++)
		fds += fcntl(i, F_GETFD) >= 0;
	struct stat net;
	stat("/proc/self/ns/net", &net);
	gid_t groups[64];
	int n = getgroups(64, groups);
	snprintf(root_list, sizeof(root_list), "%d",
	    access("/root", F_OK) == 0 || access("/home", F_OK) == 0);
	snprintf(path, sizeof(path), "%s/started", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	n = snprintf(text, sizeof(text),
	    "{\"pid\":%d,\"uid\":%u,\"groups\":%d,\"caps\":%lu,\"bounding\":%lu,\"nnp\":%d,\"fds\":"
	    "%d,\"names\":\"%s\",\"net\":%lu,"
	    "\"host_files\":%s,\"umask_ok\":%d,\"writable\":[%d,%d,%d],\"user_ns\":%d,"
	    "\"keyctl\":%d}\n",
	    getpid(), getuid(), n, caps("CapEff:"), caps("CapBnd:"),
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), fds,
	    getenv("LISTEN_FDNAMES") ? getenv("LISTEN_FDNAMES") : "", (unsigned long)net.st_ino,
	    root_list, umask(0) == 027, access("/", W_OK) == 0, access("/usr", W_OK) == 0,
	    access("/etc", W_OK) == 0, user_namespace(),
	    syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3, 0) >= 0 || errno != EPERM);
	if (write(fd, text, (size_t)n) != n)
		return 9;
	close(fd);
	fprintf(stderr, "a line on the log\n");
	if (!strcmp(behave, "fail"))
		return 3;
	if (!strcmp(behave, "stubborn"))
		signal(SIGTERM, SIG_IGN);
	if (!strcmp(behave, "child") && fork() == 0)
		signal(SIGTERM, SIG_IGN);
	for (;;) {
		int peer = fds > 3 ? accept(3, NULL, NULL) : -1;
		if (peer < 0 && (fds <= 3 || errno == EAGAIN))
			usleep(20000);
		if (peer >= 0) {
			if (write(peer, "!", 1) != 1)
				return 9;
			close(peer);
		}
	}
}
