/* ward-doctor [--root DIR] [--instance NAME] [--json]: every check, as a table, or as one JSON
 * object a line. Ends with 1 when something required fails. Changes nothing. */
#include "supervisor/doctor.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include <fcntl.h>

static const struct check_def table[] = {
	{ "kernel", true, check_kernel },
	{ "cgroup", true, check_cgroup },
	{ "seccomp", true, check_seccomp },
	{ "tun", true, check_tun },
	{ "users", true, check_users },
	{ "programs", true, check_programs },
	{ "platform-file", true, check_file },
	{ "kvm", false, check_kvm },
	{ "engine", true, check_engine },
	{ "swap", true, check_swap },
	{ "disk", true, check_disk },
	{ "memory", true, check_memory },
	{ "guest", false, check_guest },
	{ "clock", false, check_clock },
	{ "encryption-at-rest", false, check_key },
	{ "daemons", false, check_daemons },
	{ "wireguard", false, check_wireguard },
	{ "bpf", false, check_bpf },
	{ "landlock", false, check_landlock },
};
static const char *const names[] = {
	[CHECK_OK] = "ok", [CHECK_WARN] = "warn", [CHECK_FAIL] = "fail", [CHECK_ABSENT] = "absent"
};

void check_set(struct check *c, enum check_status status, const char *next, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(c->found, sizeof(c->found), fmt, ap);
	va_end(ap);
	c->status = status;
	str_copy(c->next, sizeof(c->next), next ? next : "");
}

static int print_json(const struct check *c)
{
	cleanup_json json_t *j = json_pack("{s:s,s:s,s:b,s:s,s:s}", "name", c->name, "status",
	    names[c->status], "required", c->required, "found", c->found, "next", c->next);
	cleanup_free char *text = j ? json_format(j) : NULL;
	return text && puts(text) >= 0 ? 0 : -EIO;
}

static int print_line(const struct check *c, bool color)
{
	static const char *const colors[] = { [CHECK_OK] = "\033[32m",
		[CHECK_WARN] = "\033[33m",
		[CHECK_FAIL] = "\033[31m",
		[CHECK_ABSENT] = "\033[2m" };
	const char *on = color ? colors[c->status] : "", *off = color ? "\033[0m" : "";
	if (printf("%s%-7s%s %-19s %s\n", on, names[c->status], off, c->name, c->found) < 0)
		return -EIO;
	return c->next[0] && printf("%27s next: %s\n", "", c->next) < 0 ? -EIO : 0;
}

static void own_folder(struct doctor *d)
{
	ssize_t n = readlink("/proc/self/exe", d->libexec, sizeof(d->libexec) - 1);
	d->libexec[MAX(n, (ssize_t)0)] = 0;
	char *slash = strrchr(d->libexec, '/');
	if (slash)
		*slash = 0;
}

static int run(int argc, char **argv, struct err *e)
{
	static struct doctor d;
	struct places places;
	bool json = false, failed = false;
	int r = places_from_args(&places, &argc, &argv, e);
	if (r == 0 && argc > 1) {
		json = argc == 2 && streq(argv[1], "--json");
		if (!json)
			r = err_set(e, ERR_INVALID,
			    "usage: ward-doctor [--root DIR] [--instance NAME] [--json]");
	}
	if (r < 0)
		return r;
	d.places = &places;
	own_folder(&d);
	char path[96];
	snprintf(path, sizeof(path), "%s/ward.toml", places.etc);
	if (platform_read(AT_FDCWD, path, &d.platform, &d.platform_error) < 0)
		platform_defaults(&d.platform);
	else
		d.platform_error.code = ERR_NONE;
	for (size_t i = 0; r == 0 && i < countof(table); i++) {
		struct check c = { .name = table[i].name, .required = table[i].required };
		table[i].run(&d, &c);
		failed |= c.required && c.status == CHECK_FAIL;
		r = json ? print_json(&c) : print_line(&c, isatty(STDOUT_FILENO));
	}
	if (r == 0 && fflush(stdout))
		r = -errno;
	return r < 0 ? err_sys(e, -r, "cannot write the checks") : failed;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	log_init("ward-doctor");
	int r = run(argc, argv, &e);
	if (r < 0)
		log_err(&e, "looking at this host");
	return r < 0 ? 2 : r;
}
