#include "cli/api.h"
#include "cli/app.h"
#include "cli/out.h"

static int run(struct cli *c, struct err *e)
{
	char app[64];
	cleanup_json json_t *machines = NULL;
	int r = app_name(c, app, e);
	if (r == 0)
		r = app_machines(c, app, &machines, e);
	if (r < 0)
		return r;
	if (c->json) {
		out_json(machines);
		return 0;
	}
	struct table t;
	table_head(&t, "MACHINE", "NAME", "STATE", "REGION", "IMAGE", "ADDRESS", "CREATED");
	size_t i;
	json_t *m;
	json_array_foreach (machines, i, m) {
		char image[32];
		snprintf(
		    image, sizeof(image), "%.26s", text_of(json_object_get(m, "config"), "image"));
		table_row(&t, text_of(m, "id"), text_of(m, "name"), text_of(m, "state"),
		    text_of(m, "region"), image, text_of(m, "private_ip"),
		    text_of(m, "created_at"));
	}
	table_print(&t);
	return 0;
}

const struct command cmd_machine_list = {
	.name = "machine list",
	.args = "",
	.summary = "an app's machines",
	.options = (const struct cli_option[]){ OPTION_APP, OPTION_CONFIG, OPTION_END },
	.run = run,
};
