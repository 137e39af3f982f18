/* What there is to read of one machine: status, events, versions, processes. */
#include "base/clock.h"
#include "cli/api.h"
#include "cli/app.h"
#include "cli/out.h"

static int get(struct cli *c, const char *what, json_t **ret, struct err *e)
{
	struct api *api = NULL;
	cleanup_buf struct buf path;
	buf_init(&path, 512);
	int r = machine_path(c, c->args[0], &path, e);
	if (r == 0)
		r = cli_api(c, &api, e);
	if (r == 0 && buf_add_str(&path, what) < 0)
		r = err_set(e, ERR_NO_MEMORY, "no memory for a request");
	return r == 0 ? api_call(api, "GET", path.data, NULL, 0, ret, e) : r;
}

static void show_events(const json_t *events, size_t max)
{
	struct table t;
	table_head(&t, "TIME", "EVENT", "STATUS", "SOURCE", "DETAIL");
	for (size_t i = 0; i < json_array_size(events) && i < max; i++) {
		const json_t *v = json_array_get(events, i),
			     *exit_event =
				 json_object_get(json_object_get(v, "request"), "exit_event");
		char when[CLOCK_RFC3339_SIZE], detail[120] = "";
		clock_format_rfc3339(
		    when, (uint64_t)json_integer_value(json_object_get(v, "timestamp")) * 1000);
		if (exit_event)
			snprintf(detail, sizeof(detail), "exit code %.20s%s%s",
			    text_of(exit_event, "exit_code"),
			    json_is_true(json_object_get(exit_event, "oom_killed"))
				? ", out of memory"
				: "",
			    json_is_true(json_object_get(exit_event, "requested_stop"))
				? ", as asked"
				: "");
		table_row(&t, when, text_of(v, "type"), text_of(v, "status"), text_of(v, "source"),
		    detail);
	}
	table_print(&t);
}

static int run_status(struct cli *c, struct err *e)
{
	cleanup_json json_t *m = NULL;
	int r = get(c, "", &m, e);
	if (r < 0)
		return r;
	if (c->json) {
		out_json(m);
		return 0;
	}
	const json_t *config = json_object_get(m, "config"),
		     *guest = json_object_get(config, "guest");
	const struct {
		const char *name, *value;
	} facts[] = {
		{ "machine", text_of(m, "id") },
		{ "name", text_of(m, "name") },
		{ "state", text_of(m, "state") },
		{ "region", text_of(m, "region") },
		{ "instance", text_of(m, "instance_id") },
		{ "address", text_of(m, "private_ip") },
		{ "image", text_of(config, "image") },
		{ "cordoned", text_of(m, "cordoned") },
		{ "created", text_of(m, "created_at") },
		{ "updated", text_of(m, "updated_at") },
		{ "reason", text_of(m, "reason") },
	};
	for (size_t i = 0; i < countof(facts); i++)
		printf("%-10s %s\n", facts[i].name, *facts[i].value ? facts[i].value : "-");
	printf("%-10s %s %s, %s MB\n", "size", text_of(guest, "cpus"), text_of(guest, "cpu_kind"),
	    text_of(guest, "memory_mb"));
	size_t i;
	json_t *check;
	json_array_foreach (json_object_get(m, "checks"), i, check) {
		const char *output = text_of(check, "output");
		printf("%-10s %s: %s ", "check", text_of(check, "name"), text_of(check, "status"));
		out_text(stdout, output, strcspn(output, "\n"));
		putchar('\n');
	}
	putchar('\n');
	show_events(json_object_get(m, "events"), 10);
	return 0;
}

static int run_events(struct cli *c, struct err *e)
{
	cleanup_json json_t *events = NULL;
	int r = get(c, "/events", &events, e);
	if (r < 0)
		return r;
	if (c->json)
		out_json(events);
	else
		show_events(
		    json_is_array(events) ? events : json_object_get(events, "events"), 1000);
	return 0;
}

static int run_versions(struct cli *c, struct err *e)
{
	cleanup_json json_t *list = NULL;
	int r = get(c, "/versions", &list, e);
	if (r < 0)
		return r;
	if (c->json) {
		out_json(list);
		return 0;
	}
	struct table t;
	table_head(&t, "VERSION", "IMAGE", "MEMORY");
	size_t i;
	json_t *v;
	json_array_foreach (list, i, v) {
		const json_t *config = json_object_get(v, "user_config");
		table_row(&t, text_of(v, "version"), text_of(config, "image"),
		    text_of(json_object_get(config, "guest"), "memory_mb"));
	}
	table_print(&t);
	return 0;
}

static int run_ps(struct cli *c, struct err *e)
{
	cleanup_json json_t *list = NULL;
	int r = get(c, "/ps", &list, e);
	if (r < 0)
		return r;
	if (c->json) {
		out_json(list);
		return 0;
	}
	struct table t;
	table_head(&t, "PID", "RSS", "CPU", "LISTENS", "COMMAND");
	size_t i, k;
	json_t *p, *s;
	json_array_foreach (list, i, p) {
		char listens[120] = "";
		size_t at = 0;
		json_array_foreach (json_object_get(p, "listen_sockets"), k, s)
			if (at < sizeof(listens))
				at += (size_t)snprintf(listens + at, sizeof(listens) - at,
				    "%s%.60s", k ? " " : "", text_of(s, "address"));
		table_row(&t, text_of(p, "pid"), text_of(p, "rss"), text_of(p, "cpu"), listens,
		    text_of(p, "command"));
	}
	table_print(&t);
	return 0;
}

#define ONE_MACHINE                                                                                \
	.args = "MACHINE", .min_args = 1, .max_args = 1, .options = (const struct cli_option[])    \
	{                                                                                          \
		OPTION_APP, OPTION_END                                                             \
	}

const struct command cmd_machine_status = { .name = "machine status",
	.summary = "everything about one machine",
	ONE_MACHINE,
	.run = run_status };
const struct command cmd_machine_events = { .name = "machine events",
	.summary = "what happened to a machine, newest first",
	ONE_MACHINE,
	.run = run_events };
const struct command cmd_machine_versions = { .name = "machine versions",
	.summary = "the present version, and the one before it while a deploy may put it back",
	ONE_MACHINE,
	.run = run_versions };
const struct command cmd_machine_ps = {
	.name = "machine ps", .summary = "the processes in a machine", ONE_MACHINE, .run = run_ps
};
