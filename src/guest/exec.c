/* Commands run beside the app: POST /exec, frames both ways. */
#include "base/json.h"
#include "base/str.h"
#include "guest/app.h"
#include "guest/calls.h"
#include "guest/loop.h"
#include "guest/proc.h"
#include "guest/pty.h"
#include "guest/root.h"
#include "proto/exec_frames.h"
#include <fcntl.h>
#include <signal.h>

enum { EXECS_MAX = 16, CHUNK = 8192, DRAIN_MS = 500 };

struct output {
	int fd;
	struct watch watch;
	struct exec *exec;
	enum exec_type type;
};

struct exec {
	struct call *call; /* NULL: the caller left */
	struct exec_walk walk;
	struct buf open;  /* the OPEN frame's payload, or a RESIZE's or SIGNAL's */
	struct buf input; /* stdin that the process has not taken */
	struct output out, err;
	struct watch in_watch;
	struct timer drain;
	struct proc proc;
	int in; /* -1: closed, or a terminal's master is out.fd */
	int code, signal;
	bool tty, started, ended, input_end, failed, in_watched;
};

static unsigned execs;

static void maybe_free(struct exec *x)
{
	if (x->call || x->proc.pid)
		return;
	loop_timer_off(&x->drain);
	loop_remove(&x->out.watch);
	loop_remove(&x->err.watch);
	loop_remove(&x->in_watch);
	if (x->out.fd >= 0)
		close(x->out.fd);
	if (x->err.fd >= 0)
		close(x->err.fd);
	if (x->in >= 0)
		close(x->in);
	buf_done(&x->open);
	buf_done(&x->input);
	free(x);
	execs--;
}

static void frame(struct exec *x, enum exec_type type, const void *p, size_t n)
{
	uint8_t head[EXEC_HEAD];
	if (!x->call)
		return;
	exec_head_encode(head, type, n);
	call_write(x->call, head, sizeof head);
	if (n)
		call_write(x->call, p, n);
}

static void fail(struct exec *x, const char *text)
{
	frame(x, EXEC_ERROR, text, strlen(text));
	x->failed = true;
	if (x->call)
		call_end(x->call);
}

static void finish(struct exec *x)
{
	uint8_t n[8] = { 0 };
	if (!x->ended || x->out.fd >= 0 || x->err.fd >= 0 || x->failed || !x->call)
		return;
	n[2] = (uint8_t)(x->code >> 8);
	n[3] = (uint8_t)x->code;
	n[7] = (uint8_t)x->signal;
	frame(x, EXEC_EXIT, n, sizeof n);
	x->failed = true; /* nothing may follow */
	call_end(x->call);
}

/* ---- output ---- */
static void output_close(struct output *o)
{
	if (o->fd < 0)
		return;
	loop_remove(&o->watch);
	close(o->fd);
	o->fd = -1;
	if (o->exec->tty)
		o->exec->in = -1; /* it was the same */
}

static void output_ready(void *arg, uint32_t events)
{
	struct output *o = arg;
	struct exec *x = o->exec;
	char chunk[CHUNK];
	if (x->call && call_room(x->call) < CHUNK + EXEC_HEAD) {
		loop_remove(&o->watch); /* until call_ops.room */
		return;
	}
	ssize_t n = read(o->fd, chunk, sizeof chunk);
	if (n > 0)
		frame(x, o->type, chunk, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		output_close(o);
	finish(x);
}

static void output_start(struct exec *x, struct output *o, int fd, enum exec_type type)
{
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	*o = (struct output){ .fd = fd, .exec = x, .type = type };
	loop_add(&o->watch, fd, EPOLLIN, output_ready, o);
}

static void on_room(void *user)
{
	struct exec *x = user;
	struct output *both[] = { &x->out, &x->err };
	for (size_t i = 0; i < countof(both); i++)
		if (both[i]->fd >= 0 && both[i]->watch.fd < 0)
			loop_add(&both[i]->watch, both[i]->fd, EPOLLIN, output_ready, both[i]);
}

/* ---- input ---- */
static void input_ready(void *arg, uint32_t events);

static void input_flush(struct exec *x)
{
	while (x->in >= 0 && x->input.len) {
		ssize_t n = write(x->in, x->input.data, x->input.len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			/* A terminal's fd is watched for its output already, and epoll takes an fd
			 * once: a copy. */
			if (!x->in_watched) {
				int fd = x->tty ? fcntl(x->in, F_DUPFD_CLOEXEC, 3) : x->in;
				if (fd >= 0)
					loop_add(&x->in_watch, fd, EPOLLOUT, input_ready, x);
				x->in_watched = fd >= 0;
			}
			return;
		}
		if (n < 0) /* nobody reads any more: swallow it */
			n = (ssize_t)x->input.len;
		buf_consume(&x->input, (size_t)n);
		if (x->call)
			call_used(x->call, (size_t)n);
	}
	if (x->in < 0 && x->input.len) {
		if (x->call)
			call_used(x->call, x->input.len);
		buf_reset(&x->input);
	}
	if (x->input_end && x->in >= 0 && !x->input.len) {
		if (x->tty) {
			(void)!write(x->in, "\004", 1);
		} else {
			loop_remove(&x->in_watch);
			close(x->in);
			x->in = -1;
		}
		x->input_end = false;
	}
}

static void input_ready(void *arg, uint32_t events)
{
	struct exec *x = arg;
	int fd = x->in_watch.fd;
	loop_remove(&x->in_watch);
	if (x->tty)
		close(fd);
	x->in_watched = false;
	input_flush(x);
}

/* ---- start ---- */
struct options {
	char **argv, **env;
	struct user user;
	const char *dir;
	int64_t cols, rows;
	bool tty;
};

static void options_done(struct options *o)
{
	strv_free(o->argv);
	strv_free(o->env);
}

static int parse_cmd(const json_t *cmd, struct options *o, struct err *e)
{
	size_t i;
	json_t *v;
	size_t n = json_array_size(cmd);
	if (!n || n > RUNCONF_ARGS_MAX || !(o->argv = calloc(n + 1, sizeof *o->argv)))
		return err_set(e, ERR_INVALID, "cmd: 1 to %d strings are needed", RUNCONF_ARGS_MAX);
	json_array_foreach (cmd, i, v)
		if (!json_is_string(v) || !(o->argv[i] = strdup(json_string_value(v))))
			return err_set(e, ERR_INVALID, "cmd[%zu] is not a string", i);
	return 0;
}

static int parse_options(json_t *doc, struct options *o, struct err *e)
{
	json_t *cmd = NULL, *env = NULL, *v;
	const char *user = NULL, *key;
	int r;
	o->dir = app_dir();
	o->user = *app_user();
	if ((r = json_opt_array(doc, "", "cmd", &cmd, e)) < 0 ||
	    (r = json_opt_object(doc, "", "env", &env, e)) < 0 ||
	    (r = json_opt_bool(doc, "", "tty", &o->tty, e)) < 0 ||
	    (r = json_opt_str(doc, "", "user", &user, e)) < 0 ||
	    (r = json_opt_str(doc, "", "dir", &o->dir, e)) < 0 ||
	    (r = json_opt_int(doc, "", "cols", 0, 65535, &o->cols, e)) < 0 ||
	    (r = json_opt_int(doc, "", "rows", 0, 65535, &o->rows, e)) < 0 ||
	    (r = parse_cmd(cmd, o, e)) < 0)
		return r;
	if (!(o->env = env_copy(app_env())))
		return err_set(e, ERR_NO_MEMORY, "no memory for the environment");
	json_object_foreach (env, key, v)
		if (!json_is_string(v) || !*key || strchr(key, '=') ||
		    !env_set(&o->env, key, json_string_value(v)))
			return err_set(
			    e, ERR_INVALID, "env: '%.60s' is not a name with a string", key);
	if (o->tty && !env_get(o->env, "TERM") && !env_set(&o->env, "TERM", "xterm"))
		return err_set(e, ERR_NO_MEMORY, "no memory for the environment");
	if (!user)
		return 0;
	cleanup_free char *passwd = root_read("/etc/passwd", 1 << 20),
			  *group = root_read("/etc/group", 1 << 20);
	if ((r = user_find(user, passwd, group, &o->user, e)) < 0)
		return r;
	return env_set(&o->env, "HOME", o->user.home)
		   ? 0
		   : err_set(e, ERR_NO_MEMORY, "no memory for the environment");
}

static void proc_ended(void *arg, int code, int signal);

static int run(struct exec *x, const struct options *o, int in, int out, int err, struct err *e)
{
	struct proc_start s = { .argv = o->argv,
		.env = o->env,
		.user = &o->user,
		.dir = o->dir,
		.in = in,
		.out = out,
		.err = err,
		.terminal = o->tty,
		.cgroup_fd = app_exec_cgroup() };
	x->proc = (struct proc){ .ended = proc_ended, .arg = x };
	int r = proc_start(&x->proc, &s, e);
	x->started = r == 0;
	return r;
}

static int run_terminal(struct exec *x, const struct options *o, struct err *e)
{
	int m, t;
	int r = pty_open((unsigned)o->cols, (unsigned)o->rows, &m, &t, e);
	if (r < 0)
		return r;
	cleanup_close int master = m, terminal = t;
	if ((r = run(x, o, terminal, terminal, terminal, e)) < 0)
		return r;
	x->tty = true;
	x->in = master;
	output_start(x, &x->out, steal_fd(&master), EXEC_STDOUT);
	return 0;
}

static int run_pipes(struct exec *x, const struct options *o, struct err *e)
{
	int p[3][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	int r = 0;
	for (int i = 0; i < 3 && r == 0; i++)
		r = pipe2(p[i], O_CLOEXEC) < 0 ? err_sys(e, errno, "no pipe") : 0;
	if (r == 0)
		r = run(x, o, p[0][0], p[1][1], p[2][1], e);
	if (r == 0) {
		(void)fcntl(p[0][1], F_SETFL, O_NONBLOCK);
		x->in = steal_fd(&p[0][1]);
		output_start(x, &x->out, steal_fd(&p[1][0]), EXEC_STDOUT);
		output_start(x, &x->err, steal_fd(&p[2][0]), EXEC_STDERR);
	}
	for (int i = 0; i < 6; i++)
		if (p[i / 2][i % 2] >= 0)
			close(p[i / 2][i % 2]);
	return r;
}

static void start(struct exec *x)
{
	struct err e = { 0 };
	cleanup_json json_t *doc = NULL;
	struct options o = { 0 };
	int r = app_phase() == APP_RUNNING
		    ? 0
		    : err_set(&e, ERR_CONFLICT, "the machine's app is not running");
	if (r == 0)
		r = json_parse(x->open.data ? x->open.data : "", x->open.len, &doc, &e);
	if (r == 0 && !json_is_object(doc))
		r = err_set(&e, ERR_INVALID, "OPEN is not a JSON object");
	if (r == 0)
		r = parse_options(doc, &o, &e);
	if (r == 0)
		r = o.tty ? run_terminal(x, &o, &e) : run_pipes(x, &o, &e);
	options_done(&o);
	if (r < 0)
		fail(x, e.text);
}

/* ---- frames from the host ---- */
static void take_signal(struct exec *x)
{
	int sig = x->open.data ? signal_parse(x->open.data) : -1;
	if (sig > 0 && x->proc.pid)
		(void)kill(-x->proc.pid, sig);
}

static void frame_whole(struct exec *x)
{
	const uint8_t *p = (uint8_t *)x->open.data;
	switch (x->walk.type) {
	case EXEC_OPEN:
		if (x->started || x->failed)
			fail(x, "a second OPEN");
		else
			start(x);
		break;
	case EXEC_STDIN_EOF: x->input_end = true; break;
	case EXEC_RESIZE:
		if (x->tty && x->out.fd >= 0)
			pty_resize(
			    x->out.fd, (unsigned)p[0] << 8 | p[1], (unsigned)p[2] << 8 | p[3]);
		break;
	case EXEC_SIGNAL: take_signal(x); break;
	default: break;
	}
	buf_reset(&x->open);
}

static void on_data(void *user, const uint8_t *p, size_t n)
{
	struct exec *x = user;
	if (!n)
		x->input_end = true;
	while (n) {
		size_t used;
		struct bytes part;
		int r = exec_walk_feed(&x->walk, p, n, &used, &part);
		bool is_input = part.len && x->walk.type == EXEC_STDIN && x->started;
		if (r < 0 || buf_add(is_input ? &x->input : &x->open, part.base, part.len) < 0) {
			call_used(x->call, n);
			if (!x->failed)
				fail(x, "broken frames");
			return;
		}
		if (used > part.len || !is_input)
			call_used(x->call, is_input ? used - part.len : used);
		p += used;
		n -= used;
		if (part.base && !x->walk.left)
			frame_whole(x);
	}
	if (x->started)
		input_flush(x);
}

/* ---- the ends ---- */
static void drained(void *arg)
{
	struct exec *x = arg;
	output_close(&x->out);
	output_close(&x->err);
	finish(x);
}

static void proc_ended(void *arg, int code, int signal)
{
	struct exec *x = arg;
	x->ended = true;
	x->code = signal ? 0 : code;
	x->signal = signal;
	if (!x->call) {
		maybe_free(x);
		return;
	}
	/* What it left running may hold its output open; the exec does not wait for that. */
	loop_timer(&x->drain, DRAIN_MS, drained, x);
	finish(x);
}

static void on_gone(void *user)
{
	struct exec *x = user;
	x->call = NULL;
	if (x->proc.pid)
		(void)kill(-x->proc.pid, SIGKILL);
	maybe_free(x);
}

void call_exec(struct call *c)
{
	static const struct call_ops ops = { .data = on_data, .room = on_room, .gone = on_gone };
	struct exec *x = execs < EXECS_MAX ? calloc(1, sizeof *x) : NULL;
	if (!x) {
		call_reply(c, 503,
		    json_pack("{s:s}", "error", "too many commands at once in this machine"));
		return;
	}
	execs++;
	x->call = c;
	x->walk.to_guest = true;
	x->in = x->out.fd = x->err.fd = -1;
	x->out.watch.fd = x->err.watch.fd = x->in_watch.fd = -1;
	x->out.exec = x->err.exec = x;
	buf_init(&x->open, EXEC_OPEN_MAX + EXEC_PAYLOAD_MAX);
	buf_init(&x->input, GUEST_WINDOW + 1);
	call_set(c, &ops, x);
	call_begin(c);
}
