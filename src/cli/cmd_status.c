#include "cli/api.h"
#include "cli/app.h"
#include "cli/out.h"

static int hosts(struct cli *c, struct err *e)
{
	struct api *api = NULL;
	cleanup_json json_t *answer = NULL;
	int r = cli_api(c, &api, e);
	if (r == 0)
		r = api_call(api, "GET", "/v1/hosts", NULL, 0, &answer, e);
	if (r < 0)
		return r;
	if (c->json) {
		out_json(answer);
		return 0;
	}
	struct table t;
	table_head(
	    &t, "HOST", "REGION", "ALIVE", "ENGINE", "MACHINES", "CPUS", "MEMORY MB", "DISK MB");
	size_t i;
	json_t *h;
	json_array_foreach (json_object_get(answer, "hosts"), i, h) {
		const json_t *used = json_object_get(h, "used");
		char cpus[90], memory[90], disk[90];
		snprintf(cpus, sizeof(cpus), "%.40s of %.40s", text_of(used, "cpus"),
		    text_of(h, "cpus"));
		snprintf(memory, sizeof(memory), "%.40s of %.40s", text_of(used, "memory_mib"),
		    text_of(h, "memory_mib"));
		snprintf(disk, sizeof(disk), "%.40s of %.40s", text_of(used, "disk_mib"),
		    text_of(h, "disk_mib"));
		table_row(&t, text_of(h, "name"), text_of(h, "region"), text_of(h, "alive"),
		    text_of(h, "engine"), text_of(used, "machines"), cpus, memory, disk);
	}
	table_print(&t);
	return 0;
}

static int platform(struct cli *c, struct err *e)
{
	struct api *api = NULL;
	cleanup_json json_t *s = NULL;
	int r = cli_api(c, &api, e);
	if (r == 0)
		r = api_call(api, "GET", "/v1/status", NULL, 0, &s, e);
	if (r < 0)
		return r;
	if (c->json) {
		out_json(s);
		return 0;
	}
	printf("ward %s, region %s: %s apps, %s machines, %s hosts; vault %s; store %s\n\n",
	    text_of(s, "version"), text_of(s, "region"), text_of(s, "apps"), text_of(s, "machines"),
	    text_of(s, "hosts"), text_of(s, "vault"),
	    json_is_true(json_object_get(json_object_get(s, "store"), "connected"))
		? "connected"
		: "not connected");
	struct table t;
	table_head(&t, "DAEMON", "PID", "RESTARTS", "UP");
	size_t i;
	json_t *d;
	json_array_foreach (json_object_get(s, "daemons"), i, d) {
		char up[40];
		long long seconds =
		    (long long)(json_number_value(json_object_get(d, "up_ms")) / 1000);
		snprintf(up, sizeof(up), "%lldh%02lldm%02llds", seconds / 3600, seconds / 60 % 60,
		    seconds % 60);
		bool down = !json_integer_value(json_object_get(d, "pid"));
		table_row(&t, text_of(d, "name"), down ? "down" : text_of(d, "pid"),
		    text_of(d, "restarts"), down ? "-" : up);
	}
	table_print(&t);
	return 0;
}

static void checks_text(const json_t *machine, char *dst, size_t size)
{
	const json_t *checks = json_object_get(machine, "checks");
	size_t passing = 0, n = json_array_size(checks);
	for (size_t i = 0; i < n; i++)
		passing += streq(text_of(json_array_get(checks, i), "status"), "passing");
	snprintf(dst, size, n ? "%zu of %zu passing" : "none", passing, n);
}

static int app(struct cli *c, const char *name, struct err *e)
{
	struct api *api = NULL;
	cleanup_json json_t *a = NULL, *machines = NULL;
	cleanup_buf struct buf path;
	buf_init(&path, 256);
	int r = cli_api(c, &api, e);
	if (r == 0 && api_path(&path, "/v1/apps/%s", name) < 0)
		r = err_set(e, ERR_NO_MEMORY, "no memory for a request");
	if (r == 0)
		r = api_call(api, "GET", path.data, NULL, 0, &a, e);
	if (r == 0)
		r = app_machines(c, name, &machines, e);
	if (r < 0)
		return r;
	if (c->json) {
		cleanup_json json_t *both = json_pack("{s:O, s:O}", "app", a, "machines", machines);
		out_json(both);
		return 0;
	}
	printf("app %s: %s, network %s\n\n", text_of(a, "name"), text_of(a, "status"),
	    text_of(a, "network"));
	struct table t;
	table_head(&t, "MACHINE", "STATE", "GROUP", "CHECKS", "REGION", "ADDRESS", "UPDATED");
	size_t i;
	json_t *m;
	json_array_foreach (machines, i, m) {
		char checks[40];
		checks_text(m, checks, sizeof(checks));
		const json_t *meta = json_object_get(json_object_get(m, "config"), "metadata");
		table_row(&t, text_of(m, "id"), text_of(m, "state"),
		    text_of(meta, "fly_process_group"), checks, text_of(m, "region"),
		    text_of(m, "private_ip"), text_of(m, "updated_at"));
	}
	table_print(&t);
	json_array_foreach (machines, i, m)
		if (*text_of(m, "reason"))
			printf("\n%s: %s\n", text_of(m, "id"), text_of(m, "reason"));
	return 0;
}

static int run(struct cli *c, struct err *e)
{
	char name[64];
	if (cli_opt(c, "hosts"))
		return hosts(c, e);
	int r = app_name_maybe(c, name, e);
	if (r < 0)
		return r;
	return *name ? app(c, name, e) : platform(c, e);
}

const struct command cmd_status = {
	.name = "status",
	.args = "",
	.summary = "how an app, or the platform, is",
	.text = "With an app (named, or by fly.toml here): its machines and their checks. Without "
		"one: the platform's daemons. --hosts: what each host has and "
		"what is taken.",
	.options =
	    (const struct cli_option[]){
		OPTION_APP,
		OPTION_CONFIG,
		{ "hosts", 0, NULL, "the hosts and what is free on them" },
		OPTION_END,
	    },
	.run = run,
};
