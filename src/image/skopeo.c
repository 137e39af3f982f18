#include "image/skopeo.h"
#include "base/clock.h"
#include "base/spawn.h"
#include "base/str.h"
#include "image/blobs.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { COPY_MAX_MS = 20 * 60 * 1000, LOOK_MS = 500, SAID_MAX = 4096, ENV_MAX = 12 };

struct run {
	pid_t pid;
	int pidfd, said_fd;
	char said[SAID_MAX];
	size_t said_len;
};

/* Bytes in the folder and one level below it: skopeo's temporary files and its result. */
static uint64_t folder_size(const char *path, unsigned depth)
{
	uint64_t sum = 0;
	DIR *d = opendir(path);
	for (struct dirent *de; d && (de = readdir(d));) {
		struct stat st;
		char below[512];
		if (de->d_name[0] == '.' || fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_size;
		int n = snprintf(below, sizeof(below), "%s/%s", path, de->d_name);
		if (S_ISDIR(st.st_mode) && depth && n > 0 && (size_t)n < sizeof(below))
			sum += folder_size(below, depth - 1);
	}
	if (d)
		closedir(d);
	return sum;
}

static bool insecure(const struct fetch *f, const char *registry)
{
	for (size_t i = 0; i < f->ninsecure; i++)
		if (streq(f->insecure[i], registry))
			return true;
	return false;
}

static int start(const struct fetch *f, const struct image_ref *ref, const char *folder,
    struct run *r, struct err *e)
{
	char source[800], to[256], home[256], tmp[256], runtime[256];
	const char *argv[24], *env[ENV_MAX];
	size_t n = 0, m = 0;
	/* a digest says it all; skopeo refuses a tag beside it */
	snprintf(source, sizeof(source), "docker://%s/%s%s%s", ref->registry, ref->repository,
	    ref->digest[0] ? "@sha256:" : ":", ref->digest[0] ? ref->digest : ref->tag);
	snprintf(to, sizeof(to), "dir:%s/image", folder);
	snprintf(home, sizeof(home), "HOME=%s", folder);
	snprintf(tmp, sizeof(tmp), "TMPDIR=%s", folder);
	snprintf(runtime, sizeof(runtime), "XDG_RUNTIME_DIR=%s", folder);
	argv[n++] = "skopeo";
	argv[n++] = "--insecure-policy"; /* whose signatures count is not decided here: all is
					    checked by digest */
	argv[n++] = "--override-os=linux";
	argv[n++] = "--override-arch=amd64";
	argv[n++] = "copy";
	argv[n++] = "--quiet";
	argv[n++] = "--preserve-digests";
	argv[n++] = "--retry-times=2";
	if (insecure(f, ref->registry))
		argv[n++] = "--src-tls-verify=false";
	if (f->authfile) {
		argv[n++] = "--authfile";
		argv[n++] = f->authfile;
	}
	argv[n++] = source;
	argv[n++] = to;
	argv[n] = NULL;
	env[m++] = "PATH=/usr/bin:/bin";
	env[m++] = home;
	env[m++] = tmp;
	env[m++] = runtime;
	env[m] = NULL;

	int p[2];
	if (pipe2(p, O_CLOEXEC))
		return err_sys(e, errno, "cannot make a pipe");
	const struct spawn s = { f->skopeo, argv, env, -1, -1, p[1], NULL, 0 };
	int k = spawn_start(&s, &r->pid, &r->pidfd, e);
	close(p[1]);
	r->said_fd = p[0];
	return k;
}

static void take_said(struct run *r)
{
	char more[512];
	ssize_t n = read(r->said_fd, more, sizeof(more));
	if (n <= 0) {
		close(r->said_fd);
		r->said_fd = -1;
		return;
	}
	size_t use = MIN((size_t)n, sizeof(r->said) - 1 - r->said_len);
	memcpy(r->said + r->said_len, more, use);
	r->said_len += use;
}

/* Until it ends, or must be ended. */
static int watch(
    struct run *r, const char *folder, int conn, const struct image_ask *ask, struct err *e)
{
	uint64_t end = clock_mono_ms() + COPY_MAX_MS, told = 0;
	for (;;) {
		struct pollfd p[2] = { { .fd = r->pidfd, .events = POLLIN },
			{ .fd = r->said_fd, .events = POLLIN } };
		if (poll(p, 2, LOOK_MS) < 0 && errno != EINTR)
			return err_sys(e, errno, "cannot wait for skopeo");
		if (p[1].revents && r->said_fd >= 0)
			take_said(r);
		if (p[0].revents && !p[1].revents)
			return 0;
		uint64_t size = folder_size(folder, 2);
		if (size > BLOB_SIZE_MAX)
			return err_set(e, ERR_IMAGE, "larger than %llu bytes", BLOB_SIZE_MAX);
		if (clock_mono_ms() > end)
			return err_set(
			    e, ERR_TIMEOUT, "not fetched within %d minutes", COPY_MAX_MS / 60000);
		if (size != told)
			answer_progress(conn, ask, told = size, 0);
	}
}

/* skopeo's last line is `time="…" level=fatal msg="…"`: the part a person needs. */
static int explain(struct run *r, int status, struct err *e)
{
	if (WIFSIGNALED(status))
		return err_set(e, ERR_SYSTEM, "skopeo ended by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	r->said[r->said_len] = 0;
	char *text = r->said, *msg = strstr(text, "level=fatal msg=\"");
	if (msg) {
		text = msg + strlen("level=fatal msg=\"");
		char *w = text;
		for (char *c = text; *c && *c != '"'; c++) {
			if (*c == '\\' && c[1])
				c++;
			*w++ = *c == '\n' ? ' ' : *c;
		}
		*w = 0;
	}
	text[strcspn(text, "\n")] = 0;
	bool missing = strstr(text, "manifest unknown") || strstr(text, "name unknown") ||
		       strstr(text, "not found");
	return err_set(e, missing ? ERR_IMAGE_MISSING : ERR_UNAVAILABLE, "%.300s",
	    *text ? text : "skopeo failed without a word");
}

int skopeo_copy(const struct fetch *f, const struct image_ref *ref, const char *folder, int conn,
    const struct image_ask *ask, struct err *e)
{
	struct run r = { .pidfd = -1, .said_fd = -1 };
	int status = 0, k = start(f, ref, folder, &r, e);
	if (k == 0) {
		k = watch(&r, folder, conn, ask, e);
		if (k < 0)
			kill(r.pid, SIGKILL);
		while (waitpid(r.pid, &status, 0) < 0 && errno == EINTR)
			;
		if (k == 0 && status)
			k = explain(&r, status, e);
	}
	if (r.pidfd >= 0)
		close(r.pidfd);
	if (r.said_fd >= 0)
		close(r.said_fd);
	return k < 0 ? err_prefix(e, k, "image %s/%s", ref->registry, ref->repository) : 0;
}
