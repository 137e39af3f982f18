/* The records of the store and of machine.json: any JSON must be refused or read, and what was read
 * must format and read the same again. */
#include "base/str.h"
#include "core/machine_json.h"
#include "core/request.h"
#include "core/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void desired(const json_t *j)
{
	struct desired d, again;
	struct err e;
	if (desired_parse(j, &d, &e) < 0)
		return;
	json_t *out = desired_format(&d);
	check(out && desired_parse(out, &again, &e) == 0);
	json_t *twice = desired_format(&again);
	check(json_equal(out, twice));
	json_decref(twice);
	json_decref(out);
	desired_done(&again);
	desired_done(&d);
}

static void record(const json_t *j)
{
	static struct machine_record r, again;
	struct err e;
	if (machine_record_parse(j, &r, &e) < 0)
		return;
	json_t *out = machine_record_format(&r);
	check(out && machine_record_parse(out, &again, &e) == 0);
	json_decref(out);
}

static void deploy(const json_t *j)
{
	static struct deploy d, again;
	struct err e;
	if (deploy_parse(j, &d, &e) < 0)
		return;
	json_t *out = deploy_format(&d);
	check(out && deploy_parse(out, &again, &e) == 0 && deploy_same_place(&d, &again));
	json_decref(out);
}

static void view(const json_t *j)
{
	static const char *const keys[] = { "desired/h/0123456789abcd", "observed/h/0123456789abcd",
		"observed/h/checks/0123456789abcd", "apps/a/app", "apps/a/releases/00000001",
		"apps/a/deploys/D", "hosts/h", "names/n" };
	struct world w;
	struct err e;
	check(world_init(&w, &e) == 0);
	for (size_t i = 0; i < countof(keys); i++) {
		int r = world_set(&w, keys[i], j, 1, &e);
		(void)r;
	}
	struct txn t;
	struct fresh f = { .wall_ms = 1 };
	txn_init(&t);
	/* A request is the one record here that others than control write. */
	if (request_decide(&w, "R", j, &f, &t, &e) == 0)
		check(t.n > 0);
	txn_done(&t);
	world_done(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(const json_t *) = { desired, record, deploy, view };
	json_t *j = NULL;
	struct err e;
	if (size < 1 || json_parse((const char *)data + 1, size - 1, &j, &e) < 0)
		return 0;
	parsers[data[0] % countof(parsers)](j);
	json_decref(j);
	return 0;
}
