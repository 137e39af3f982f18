#include "guest/runconf.h"
#include "base/str.h"
#include <signal.h>
#include <string.h>
#include <strings.h>

static const struct {
	const char *name;
	int number;
} signals[] = {
	{ "HUP", SIGHUP },
	{ "INT", SIGINT },
	{ "QUIT", SIGQUIT },
	{ "ABRT", SIGABRT },
	{ "KILL", SIGKILL },
	{ "USR1", SIGUSR1 },
	{ "USR2", SIGUSR2 },
	{ "PIPE", SIGPIPE },
	{ "ALRM", SIGALRM },
	{ "TERM", SIGTERM },
	{ "CHLD", SIGCHLD },
	{ "CONT", SIGCONT },
	{ "STOP", SIGSTOP },
	{ "TSTP", SIGTSTP },
	{ "TTIN", SIGTTIN },
	{ "TTOU", SIGTTOU },
	{ "URG", SIGURG },
	{ "WINCH", SIGWINCH },
	{ "IO", SIGIO },
	{ "PWR", SIGPWR },
	{ "TRAP", SIGTRAP },
	{ "ILL", SIGILL },
	{ "BUS", SIGBUS },
	{ "FPE", SIGFPE },
	{ "SEGV", SIGSEGV },
	{ "SYS", SIGSYS },
	{ "XCPU", SIGXCPU },
	{ "XFSZ", SIGXFSZ },
	{ "VTALRM", SIGVTALRM },
	{ "PROF", SIGPROF },
};

int signal_parse(const char *name)
{
	uint64_t v;
	if (str_u64(name, SIGRTMAX, &v))
		return v ? (int)v : -1;
	if (str_starts(name, "SIG"))
		name += 3;
	for (size_t i = 0; i < countof(signals); i++)
		if (streq(signals[i].name, name))
			return signals[i].number;
	return -1;
}

static int strings_only(const json_t *array, const char *what, struct err *e)
{
	size_t i;
	json_t *v;
	if (json_array_size(array) > RUNCONF_ARGS_MAX)
		return err_set(
		    e, ERR_TOO_LARGE, "%s has more than %d elements", what, RUNCONF_ARGS_MAX);
	json_array_foreach (array, i, v)
		if (!json_is_string(v))
			return err_set(e, ERR_INVALID, "%s[%zu] is not a string", what, i);
	return 0;
}

static int strings(const json_t *o, const char *path, const char *key, json_t **ret, struct err *e)
{
	int r = json_opt_array(o, path, key, ret, e);
	return r < 0 || !*ret ? r : strings_only(*ret, key, e);
}

static int parse_image(json_t *doc, struct runconf *c, struct err *e)
{
	json_t *o = NULL;
	int r = json_opt_object(doc, "", "image", &o, e);
	if (r < 0 || !o)
		return r;
	if ((r = strings(o, "image", "entrypoint", &c->image_entrypoint, e)) < 0 ||
	    (r = strings(o, "image", "cmd", &c->image_cmd, e)) < 0 ||
	    (r = strings(o, "image", "env", &c->image_env, e)) < 0 ||
	    (r = json_opt_str(o, "image", "working_dir", &c->image_dir, e)) < 0)
		return r;
	return json_opt_str(o, "image", "user", &c->image_user, e);
}

static int parse_init(json_t *doc, struct runconf *c, struct err *e)
{
	json_t *o = NULL;
	int64_t swap = 0;
	int r = json_opt_object(doc, "", "init", &o, e);
	if (r < 0 || !o)
		return r;
	if ((r = strings(o, "init", "exec", &c->exec, e)) < 0 ||
	    (r = strings(o, "init", "entrypoint", &c->entrypoint, e)) < 0 ||
	    (r = strings(o, "init", "cmd", &c->cmd, e)) < 0 ||
	    (r = json_opt_bool(o, "init", "tty", &c->tty, e)) < 0 ||
	    (r = json_opt_int(o, "init", "swap_size_mb", 0, 1 << 20, &swap, e)) < 0)
		return r;
	c->swap_mib = (uint64_t)swap;
	return 0;
}

static int parse_stop(json_t *doc, struct runconf *c, struct err *e)
{
	json_t *o = NULL;
	const char *name = NULL;
	int64_t ms = 5000;
	c->stop_signal = SIGINT;
	c->stop_timeout_ms = 5000;
	int r = json_opt_object(doc, "", "stop", &o, e);
	if (r < 0 || !o)
		return r;
	if ((r = json_opt_str(o, "stop", "signal", &name, e)) < 0 ||
	    (r = json_opt_int(o, "stop", "timeout_ms", 0, RUNCONF_TIMEOUT_MAX_MS, &ms, e)) < 0)
		return r;
	c->stop_timeout_ms = (uint64_t)ms;
	if (name && (c->stop_signal = signal_parse(name)) < 0)
		return err_set(e, ERR_INVALID, "stop.signal '%.20s' is not a signal", name);
	return 0;
}

static int parse_file(const json_t *o, struct runconf_file *f, struct err *e)
{
	const char *raw = NULL;
	int64_t mode = 0644;
	int r;
	if (!json_is_object(o))
		return err_set(e, ERR_INVALID, "files: an element is not an object");
	if ((r = json_need_str(o, "files", "guest_path", &f->guest_path, e)) < 0 ||
	    (r = json_opt_str(o, "files", "raw_value", &raw, e)) < 0 ||
	    (r = json_opt_int(o, "files", "mode", 0, 07777, &mode, e)) < 0)
		return r;
	f->mode = mode ? (unsigned)mode : 0644; /* 0 is how clients say "not given" */
	if (f->guest_path[0] != '/')
		return err_set(
		    e, ERR_INVALID, "files: guest_path '%.80s' is not absolute", f->guest_path);
	size_t n = raw ? strlen(raw) : 0;
	f->data = malloc(n / 4 * 3 + 4);
	if (!f->data)
		return err_set(e, ERR_NO_MEMORY, "no memory for file '%.80s'", f->guest_path);
	ssize_t len = n ? base64_decode(f->data, n / 4 * 3 + 4, raw, n) : 0;
	if (len < 0)
		return err_set(
		    e, ERR_INVALID, "files: raw_value of '%.80s' is not base64", f->guest_path);
	f->len = (size_t)len;
	return 0;
}

static int parse_files(json_t *doc, struct runconf *c, struct err *e)
{
	json_t *a = NULL, *o;
	size_t i;
	int r = json_opt_array(doc, "", "files", &a, e);
	if (r < 0 || !a)
		return r;
	if (json_array_size(a) > RUNCONF_FILES_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %d files", RUNCONF_FILES_MAX);
	c->files = calloc(json_array_size(a) + 1, sizeof *c->files);
	if (!c->files)
		return err_set(e, ERR_NO_MEMORY, "no memory for the files");
	json_array_foreach (a, i, o) {
		c->nfiles = i + 1;
		if ((r = parse_file(o, &c->files[i], e)) < 0)
			return r;
	}
	return 0;
}

static int parse_env(json_t *doc, struct runconf *c, struct err *e)
{
	const char *key;
	json_t *v;
	int r = json_opt_object(doc, "", "env", &c->env, e);
	if (r < 0 || !c->env)
		return r;
	json_object_foreach (c->env, key, v)
		if (!json_is_string(v) || !*key || strchr(key, '='))
			return err_set(
			    e, ERR_INVALID, "env: '%.60s' is not a name with a string", key);
	return 0;
}

static int parse_rest(json_t *doc, struct runconf *c, struct err *e)
{
	int64_t v = 0, generation = 0;
	int r;
	if ((r = json_need_int(doc, "", "v", 1, 1, &v, e)) < 0 ||
	    (r = json_need_int(doc, "", "generation", 1, INT64_MAX, &generation, e)) < 0 ||
	    (r = json_opt_str(doc, "", "machine_id", &c->machine_id, e)) < 0 ||
	    (r = json_opt_str(doc, "", "hostname", &c->hostname, e)) < 0 ||
	    (r = json_opt_str(doc, "", "ipv4", &c->ipv4, e)) < 0 ||
	    (r = json_opt_str(doc, "", "ipv4_gateway", &c->ipv4_gateway, e)) < 0 ||
	    (r = json_opt_str(doc, "", "ipv6", &c->ipv6, e)) < 0 ||
	    (r = json_opt_str(doc, "", "ipv6_gateway", &c->ipv6_gateway, e)) < 0 ||
	    (r = json_opt_str(doc, "", "scratch", &c->scratch, e)) < 0 ||
	    (r = strings(doc, "", "dns", &c->dns, e)) < 0 ||
	    (r = json_opt_array(doc, "", "hosts", &c->hosts, e)) < 0)
		return r;
	c->generation = (uint64_t)generation;
	return 0;
}

int runconf_parse(const char *text, size_t len, struct runconf *ret, struct err *e)
{
	struct runconf c = { 0 };
	int r = json_parse(text, len, &c.doc, e);
	if (r < 0)
		return r;
	if (!json_is_object(c.doc))
		r = err_set(e, ERR_INVALID, "the run config is not an object");
	if (r < 0 || (r = parse_rest(c.doc, &c, e)) < 0 || (r = parse_image(c.doc, &c, e)) < 0 ||
	    (r = parse_init(c.doc, &c, e)) < 0 || (r = parse_stop(c.doc, &c, e)) < 0 ||
	    (r = parse_env(c.doc, &c, e)) < 0 || (r = parse_files(c.doc, &c, e)) < 0) {
		runconf_done(&c);
		return r;
	}
	*ret = c;
	return 0;
}

void runconf_done(struct runconf *c)
{
	for (size_t i = 0; i < c->nfiles; i++)
		free(c->files[i].data);
	free(c->files);
	json_decref(c->doc);
	*c = (struct runconf){ 0 };
}
