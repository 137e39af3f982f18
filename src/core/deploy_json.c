/* The deploy's record between JSON and struct (core/deploy.h). */
#include "base/str.h"
#include "core/deploy.h"

static const char *const step_names[] = { "waiting", "cordon", "drain", "apply", "start", "check",
	"uncordon", "settle", "cordon-old", "drain-old", "hold", "remove", "done", "undo",
	"undo-apply", "undone" };
_Static_assert(countof(step_names) == DSTEP_MAX, "a name for each step");
static const char *const action_names[] = { "create", "update", "replace", "remove" };
static const char *const status_names[] = { "running", "rolling_back", "succeeded", "failed" };

const char *deploy_step_name(enum deploy_step s)
{
	return step_names[s];
}

const char *deploy_action_name(enum deploy_action a)
{
	return action_names[a];
}

const char *deploy_status_name(enum deploy_status s)
{
	return status_names[s];
}

static bool find(const char *const *names, size_t n, const char *name, unsigned *ret)
{
	for (size_t i = 0; i < n; i++)
		if (streq(names[i], name)) {
			*ret = (unsigned)i;
			return true;
		}
	return false;
}

static int item_parse(const json_t *j, struct deploy_item *ret, struct err *e)
{
	struct deploy_item it = { 0 };
	const char *action = NULL, *step = NULL;
	unsigned a = 0, s = 0;
	int r = 0;
	if ((r = record_opt_text(j, "machine", it.machine, sizeof(it.machine), e)) < 0 ||
	    (r = record_opt_text(j, "old", it.old, sizeof(it.old), e)) < 0 ||
	    (r = record_need_text(j, "group", it.group, sizeof(it.group), e)) < 0 ||
	    (r = json_opt_bool(j, "", "asleep", &it.asleep, e)) < 0 ||
	    (r = json_need_str(j, "", "action", &action, e)) < 0 ||
	    (r = json_need_str(j, "", "step", &step, e)) < 0)
		return r;
	if (!find(action_names, countof(action_names), action, &a) ||
	    !find(step_names, countof(step_names), step, &s))
		return err_set(e, ERR_INVALID, "a deploy's action or step is not known");
	it.action = (enum deploy_action)a;
	it.step = (enum deploy_step)s;
	*ret = it;
	return 0;
}

int deploy_parse(const json_t *j, struct deploy *ret, struct err *e)
{
	*ret = (struct deploy){ 0 };
	const char *status = NULL;
	unsigned s = 0;
	json_t *items = NULL;
	int r = 0;
	if ((r = record_check_version(j, "deploy", e)) < 0 ||
	    (r = record_need_text(j, "id", ret->id, sizeof(ret->id), e)) < 0 ||
	    (r = record_need_text(j, "app", ret->app, sizeof(ret->app), e)) < 0 ||
	    (r = record_opt_text(j, "reason", ret->reason, sizeof(ret->reason), e)) < 0 ||
	    (r = record_opt_text(j, "created_at", ret->created_at, sizeof(ret->created_at), e)) <
		0 ||
	    (r = json_opt_int(j, "", "release", 0, 99999999, &ret->release, e)) < 0 ||
	    (r = json_opt_int(j, "", "events", 0, 99999999, &ret->events, e)) < 0 ||
	    (r = json_opt_int(j, "", "wait_timeout_ms", 0, 86400000, &ret->wait_timeout_ms, e)) <
		0 ||
	    (r = json_opt_bool(j, "", "immediate", &ret->immediate, e)) < 0 ||
	    (r = json_need_str(j, "", "status", &status, e)) < 0 ||
	    (r = json_opt_array(j, "", "items", &items, e)) < 0)
		return r;
	if (!find(status_names, countof(status_names), status, &s))
		return err_set(e, ERR_INVALID, "a deploy's status is not known");
	ret->status = (enum deploy_status)s;
	if (json_array_size(items) > DEPLOY_ITEMS_MAX)
		return err_set(
		    e, ERR_INVALID, "a deploy with more than %d machines", DEPLOY_ITEMS_MAX);
	for (size_t i = 0; i < json_array_size(items); i++)
		if ((r = item_parse(json_array_get(items, i), &ret->item[ret->nitems++], e)) < 0)
			return r;
	return 0;
}

json_t *deploy_format(const struct deploy *d)
{
	json_t *items = json_array();
	for (size_t i = 0; i < d->nitems; i++) {
		const struct deploy_item *it = &d->item[i];
		json_array_append_new(
		    items, json_pack("{s:s,s:s,s:s,s:s,s:s,s:b}", "machine", it->machine, "old",
			       it->old, "group", it->group, "action", action_names[it->action],
			       "step", step_names[it->step], "asleep", it->asleep));
	}
	return json_pack("{s:i,s:s,s:s,s:I,s:s,s:b,s:I,s:s,s:s,s:I,s:o}", "v", RECORD_VERSION, "id",
	    d->id, "app", d->app, "release", (json_int_t)d->release, "status",
	    status_names[d->status], "immediate", d->immediate, "wait_timeout_ms",
	    (json_int_t)d->wait_timeout_ms, "reason", d->reason, "created_at", d->created_at,
	    "events", (json_int_t)d->events, "items", items);
}

bool deploy_same_place(const struct deploy *a, const struct deploy *b)
{
	if (!streq(a->id, b->id) || a->status != b->status || a->nitems != b->nitems)
		return false;
	for (size_t i = 0; i < a->nitems; i++)
		if (a->item[i].step != b->item[i].step ||
		    !streq(a->item[i].machine, b->item[i].machine))
			return false;
	return true;
}
