/* Writes a fly.toml to begin with. Asks nothing: what is not given has a default that can be
 * edited. */
#include "base/file.h"
#include "cli/app.h"
#include "cli/out.h"
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

/* The folder's name made into an app's name. */
static void folder_name(char ret[64])
{
	char cwd[PATH_MAX];
	size_t n = 0;
	const char *base = getcwd(cwd, sizeof(cwd)) ? strrchr(cwd, '/') : NULL;
	for (base = base ? base + 1 : ""; *base && n < 40; base++) {
		char ch = *base >= 'A' && *base <= 'Z' ? (char)(*base - 'A' + 'a') : *base;
		bool plain = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
		if (plain || (n && ret[n - 1] != '-'))
			ret[n++] = plain ? ch : '-';
	}
	while (n && ret[n - 1] == '-')
		n--;
	ret[n] = 0;
	if (!n)
		str_copy(ret, 64, "app");
}

static int compose(struct cli *c, const char *app, struct buf *b, struct err *e)
{
	int64_t port = 8080, mb = 256, cpus = 1;
	const char *region = cli_opt(c, "region"), *image = cli_opt(c, "image"),
		   *health = cli_opt(c, "health");
	int r = cli_opt_int(c, "port", 1, 65535, &port, e);
	if (r == 0)
		r = cli_opt_int(c, "memory", 64, 262144, &mb, e);
	if (r == 0)
		r = cli_opt_int(c, "cpus", 1, 32, &cpus, e);
	if (r < 0)
		return r;
	if ((image && strpbrk(image, "'\n")) ||
	    (health && (*health != '/' || strpbrk(health, "'\n "))) ||
	    (region && !str_is_name(region, 31)))
		return err_set(e, ERR_INVALID,
		    "--image, --region or --health cannot be written into a fly.toml");
	int full = buf_printf(b, "app = '%s'\n", app);
	if (region)
		full |= buf_printf(b, "primary_region = '%s'\n", region);
	if (image)
		full |= buf_printf(b, "\n[build]\n  image = '%s'\n", image);
	full |= buf_printf(
	    b, "\n[http_service]\n  internal_port = %lld\n  force_https = true\n", (long long)port);
	if (health)
		full |= buf_printf(b,
		    "\n  [[http_service.checks]]\n    method = 'GET'\n    path = '%s'\n    "
		    "interval = '10s'\n    timeout = '2s'\n    grace_period = '5s'\n",
		    health);
	full |= buf_printf(
	    b, "\n[[vm]]\n  memory = '%lldmb'\n  cpus = %lld\n", (long long)mb, (long long)cpus);
	return full ? err_set(e, ERR_NO_MEMORY, "no memory for a fly.toml") : 0;
}

static int run(struct cli *c, struct err *e)
{
	char app[64];
	const char *name = cli_opt(c, "name"), *out = cli_opt(c, "config");
	if (!name && c->nargs)
		name = c->args[0];
	if (!out)
		out = "fly.toml";
	if (name && (!str_is_name(name, 63) || !str_copy(app, sizeof(app), name)))
		return err_set(e, ERR_INVALID,
		    "\"%.60s\" is not an app's name: lower-case letters, digits and '-'", name);
	if (!name)
		folder_name(app);
	cleanup_buf struct buf b;
	buf_init(&b, 16384);
	int r = compose(c, app, &b, e);
	if (r < 0)
		return r;
	int fd = open(
	    out, O_WRONLY | O_CREAT | O_CLOEXEC | (cli_opt(c, "force") ? O_TRUNC : O_EXCL), 0644);
	if (fd < 0 && errno == EEXIST) {
		err_set(e, ERR_CONFLICT, "%.200s exists already", out);
		err_next(e, "edit it, or `ward launch --force` to write it anew");
		return -EEXIST;
	}
	if (fd < 0)
		return err_sys(e, errno, "writing %.200s", out);
	r = io_write_all(fd, b.data, b.len);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r < 0)
		return err_sys(e, -r, "writing %.200s", out);
	if (c->json) {
		cleanup_json json_t *j = json_pack("{s:s, s:s}", "app", app, "config", out);
		out_json(j);
	}
	out_say("%s written for the app %s; next: ward deploy --image FILE", out, app);
	return 0;
}

const struct command cmd_launch = {
	.name = "launch",
	.args = "[NAME]",
	.summary = "write a fly.toml to begin with",
	.text = "Writes fly.toml into this folder and asks nothing. The app's name is the folder's "
		"unless one is given.",
	.max_args = 1,
	.options =
	    (const struct cli_option[]){
		{ "name", 'n', "NAME", "the app's name" },
		{ "image", 'i', "REF", "a registry reference, for [build]" },
		{ "port", 'p', "N", "the port that the app listens on (default 8080)" },
		{ "health", 0, "PATH", "the path of its health check" },
		{ "region", 'r', "NAME", "the primary region" },
		{ "memory", 0, "MB", "of each machine (default 256)" },
		{ "cpus", 0, "N", "of each machine (default 1)" },
		{ "config", 'c', "FILE", "write it here (default: fly.toml)" },
		{ "force", 'f', NULL, "even if the file exists" },
		OPTION_END,
	    },
	.run = run,
};
