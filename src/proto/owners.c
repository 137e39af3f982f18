#include "proto/owners.h"
#include "base/str.h"

int owners_parse(const char *text, size_t len, json_t **ret, struct err *e)
{
	cleanup_json json_t *j = NULL;
	json_t *machines = NULL;
	int64_t version = 0;
	int r;
	if (len > OWNERS_FILE_MAX)
		return err_set(
		    e, ERR_TOO_LARGE, "the machines' owners: more than %d bytes", OWNERS_FILE_MAX);
	if ((r = json_parse(text, len, &j, e)) < 0 ||
	    (r = json_need_int(j, "", "v", 1, 1, &version, e)) < 0 ||
	    (r = json_opt_object(j, "", "machines", &machines, e)) < 0)
		return err_prefix(e, r, "the machines' owners");
	if (!machines)
		return err_set(e, ERR_INVALID, "the machines' owners: machines: missing");
	*ret = json_incref(j);
	return 0;
}

bool owners_find(const json_t *table, const char *machine, struct owner *ret)
{
	const json_t *one = json_object_get(json_object_get(table, "machines"), machine);
	const char *app = json_string_value(json_object_get(one, "app"));
	const char *app_id = json_string_value(json_object_get(one, "app_id"));
	const char *region = json_string_value(json_object_get(one, "region"));
	struct owner o = { 0 };
	if (!id_is_machine(machine) || !app || !app_id || !region ||
	    !str_is_name(app, sizeof(o.app) - 1) || !str_is_name(app_id, sizeof(o.app_id) - 1) ||
	    !str_copy(o.region, sizeof(o.region), region))
		return false;
	str_copy(o.machine, sizeof(o.machine), machine);
	str_copy(o.app, sizeof(o.app), app);
	str_copy(o.app_id, sizeof(o.app_id), app_id);
	*ret = o;
	return true;
}

json_t *owners_new(void)
{
	return json_pack("{s:i, s:{}}", "v", 1, "machines");
}

int owners_add(json_t *table, const struct owner *o)
{
	json_t *one =
	    json_pack("{s:s, s:s, s:s}", "app", o->app, "app_id", o->app_id, "region", o->region);
	/* json_object_set_new takes NULL for a failure too */
	return json_object_set_new(json_object_get(table, "machines"), o->machine, one) ? -ENOMEM
											: 0;
}
