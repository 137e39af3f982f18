#include "image/rootdisk.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "image/cage.h"
#include "proto/oci.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

enum { BUILD_MAX_MS = 30 * 60 * 1000, END_MAX_MS = 2000, LOOK_MS = 10 };

/* From the merger to us, whole or not at all: smaller than PIPE_BUF. */
struct report {
	uint64_t done, total;
	int32_t result;
	uint32_t code, final;
	char text[400];
};

struct reporter {
	int fd;
	uint64_t last_ms;
};

static void report_progress(void *arg, uint64_t done, uint64_t total)
{
	struct reporter *r = arg;
	struct report m = { .done = done, .total = total };
	uint64_t now = clock_mono_ms();
	if (now - r->last_ms < 200)
		return;
	r->last_ms = now;
	if (io_write_all(r->fd, &m, sizeof(m)) < 0)
		_exit(1); /* nobody waits for us */
}

static _Noreturn void merger(const struct rootdisk *d, int out, int report)
{
	struct err e = { 0 };
	struct reporter reporter = { report, 0 };
	struct merge m = { d->layer, d->layers, out, report_progress, &reporter, 0, 0, 0, 0 };
	int keep[OCI_LAYERS_MAX + 2];
	size_t n = 0;
	keep[n++] = out;
	keep[n++] = report;
	for (size_t i = 0; i < d->layers; i++)
		keep[n++] = d->layer[i].fd;
	int r = layer_prepare(&e);
	if (r == 0)
		r = cage_merger(keep, n, &e);
	if (r == 0)
		r = merge_layers(&m, &e);
	struct report last = { .result = r, .code = e.code, .final = 1 };
	if (r < 0)
		str_copy(last.text, sizeof(last.text), e.text);
	_exit(io_write_all(report, &last, sizeof(last)) < 0);
}

static _Noreturn void writer(const struct rootdisk *d, int in, int errors)
{
	const char *const argv[] = { "tar2sqfs", "--quiet", "--force", "--no-skip", "--compressor",
		"zstd", "--comp-extra", "level=3", d->path, NULL };
	/* the same layers give the same bytes */
	const char *const env[] = { "SOURCE_DATE_EPOCH=0", NULL };
	struct err e;
	int null = open("/dev/null", O_WRONLY);
	if (null < 0 || dup2(in, 0) < 0 || dup2(null, 1) < 0 || dup2(errors, 2) < 0)
		_exit(1);
	if (cage_writer(LAYER_PLAIN_MAX, &e) < 0 ||
	    execve(d->tar2sqfs, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env) < 0)
		dprintf(2, "cannot start %s\n", d->tar2sqfs);
	_exit(127);
}

struct children {
	pid_t merger, writer;
	int reports, errors; /* read ends */
	struct report last;
	char said[300];
	size_t said_len;
};

static int start(struct children *c, const struct rootdisk *d, struct err *e)
{
	int data[2] = { -1, -1 }, reports[2] = { -1, -1 }, errors[2] = { -1, -1 };
	int r = 0;
	if (pipe2(data, O_CLOEXEC) || pipe2(reports, O_CLOEXEC) || pipe2(errors, O_CLOEXEC)) {
		r = err_sys(e, errno, "cannot make a pipe");
		goto out;
	}
	(void)fcntl(data[1], F_SETPIPE_SZ, 1 << 20); /* only speed: a refusal leaves 64 KiB */
	c->writer = fork();
	if (c->writer == 0)
		writer(d, data[0], errors[1]);
	c->merger = c->writer > 0 ? fork() : -1;
	if (c->merger == 0)
		merger(d, data[1], reports[1]);
	if (c->writer < 0 || c->merger < 0)
		r = err_sys(e, errno, "cannot start the converter");
	c->reports = steal_fd(&reports[0]);
	c->errors = steal_fd(&errors[0]);
out:
	for (int i = 0; i < 2; i++) {
		int all[] = { data[i], reports[i], errors[i] };
		for (size_t k = 0; k < countof(all); k++)
			if (all[k] >= 0)
				close(all[k]);
	}
	return r;
}

/* What an image's names, or a merger that they took over, have the children say: letters for a
 * terminal, no commands to it. */
static void make_plain(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* 1: something came; 0: the end. Reports come whole; waiting for the rest of one could last for
 * ever. */
static int take_report(struct children *c, const struct rootdisk *d)
{
	struct report m;
	ssize_t n = read(c->reports, &m, sizeof(m));
	if (n < 0 && errno == EINTR)
		return 1;
	if (n != (ssize_t)sizeof(m))
		return 0;
	m.text[sizeof(m.text) - 1] = 0;
	make_plain(m.text);
	if (m.final)
		c->last = m;
	else if (d->conn >= 0)
		answer_progress(d->conn, d->ask, m.done, m.total);
	return 1;
}

static int take_said(struct children *c)
{
	char more[512];
	ssize_t n = read(c->errors, more, sizeof(more));
	if (n <= 0)
		return n < 0 && errno == EINTR;
	size_t room = sizeof(c->said) - 1 - c->said_len, use = MIN((size_t)n, room);
	memcpy(c->said + c->said_len, more, use);
	c->said_len += use;
	return 1;
}

static int watch(struct children *c, const struct rootdisk *d, struct err *e)
{
	uint64_t end = clock_mono_ms() + BUILD_MAX_MS;
	struct pollfd p[2] = { { .fd = c->reports, .events = POLLIN },
		{ .fd = c->errors, .events = POLLIN } };
	while (p[0].fd >= 0 || p[1].fd >= 0) {
		uint64_t now = clock_mono_ms();
		if (now >= end)
			return err_set(e, ERR_TIMEOUT,
			    "the image could not be converted within %d minutes",
			    BUILD_MAX_MS / 60000);
		if (poll(p, 2, (int)(end - now)) < 0 && errno != EINTR)
			return err_sys(e, errno, "cannot wait for the converter");
		if (p[0].fd >= 0 && p[0].revents && !take_report(c, d))
			p[0].fd = -1;
		if (p[1].fd >= 0 && p[1].revents && !take_said(c))
			p[1].fd = -1;
		if (c->last.final && c->last.result < 0)
			return 0; /* the writer would take a cut stream for a whole one */
	}
	return 0;
}

/* Their pipes are closed, so they are about to end; one that is not would hold the converter's
 * lock. */
static int end_of(pid_t *pid, bool now)
{
	int status = -1;
	if (*pid <= 0)
		return -1;
	for (int ms = 0; !now && ms < END_MAX_MS; ms += LOOK_MS) {
		if (waitpid(*pid, &status, WNOHANG) == *pid) {
			*pid = 0;
			return status;
		}
		(void)poll(NULL, 0, LOOK_MS);
	}
	kill(*pid, SIGKILL);
	while (waitpid(*pid, &status, 0) < 0 && errno == EINTR)
		;
	*pid = 0;
	return status;
}

static int verdict(struct children *c, int r, struct err *e)
{
	bool stop = r < 0 || (c->last.final && c->last.result < 0);
	int merged = end_of(&c->merger, stop), written = end_of(&c->writer, stop);
	if (r < 0)
		return r;
	/* the writer's end explains the merger's "broken pipe", not the other way round */
	bool writer_failed = !stop && written != 0;
	if (c->last.final && c->last.result < 0 && c->last.code < ERR_CODE_MAX && !c->said_len)
		return err_set(e, c->last.code, "%s", c->last.text);
	if (writer_failed || c->said_len) {
		c->said[strcspn(c->said, "\n")] = 0;
		make_plain(c->said);
		return err_set(e, ERR_IMAGE, "tar2sqfs could not write the root disk: %s", c->said);
	}
	if (!c->last.final && WIFSIGNALED(merged))
		return err_set(e, ERR_IMAGE,
		    "the converter ended by signal %d (%s): the image asks for more than its cage "
		    "allows",
		    WTERMSIG(merged), strsignal(WTERMSIG(merged)));
	return c->last.final && merged == 0
		   ? 0
		   : err_set(e, ERR_INTERNAL, "the converter ended without a word");
}

int rootdisk_build(const struct rootdisk *d, struct err *e)
{
	struct children c = { .reports = -1, .errors = -1 };
	int r = start(&c, d, e);
	if (r == 0)
		r = watch(&c, d, e);
	r = verdict(&c, r, e);
	if (c.reports >= 0)
		close(c.reports);
	if (c.errors >= 0)
		close(c.errors);
	return r;
}
