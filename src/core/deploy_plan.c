/* What a deploy will do to which machine (core/deploy.h). */
#include "base/str.h"
#include "core/deploy.h"
#include "core/place.h"

static int by_id(const void *a, const void *b)
{
	const struct world_machine *const *x = a, *const *y = b;
	int r = strcmp((*x)->d.created_at, (*y)->d.created_at);
	return r ? r : strcmp((*x)->id, (*y)->id);
}

/* The group's machines that deploys take care of, oldest first; those made by hand (release 0) are
 * let alone. */
static size_t managed(const struct world *w, const char *app, const char *group,
    struct world_machine *ret[DEPLOY_ITEMS_MAX])
{
	size_t n = 0;
	for (size_t i = 0; i < w->nmachines && n < DEPLOY_ITEMS_MAX; i++)
		if (world_machine_counts(w->machines[i], app, group) &&
		    w->machines[i]->d.release > 0)
			ret[n++] = w->machines[i];
	qsort(ret, n, sizeof(void *), by_id);
	return n;
}

static int add(struct deploy *d, const char *group, enum deploy_action action,
    const struct world_machine *m, struct err *e)
{
	if (d->nitems == DEPLOY_ITEMS_MAX)
		return err_set(
		    e, ERR_TOO_LARGE, "a deploy can touch at most %d machines", DEPLOY_ITEMS_MAX);
	struct deploy_item *it = &d->item[d->nitems++];
	*it = (struct deploy_item){ .action = action };
	str_copy(it->group, sizeof(it->group), group);
	if (m && action == DEPLOY_REPLACE)
		str_copy(it->old, sizeof(it->old), m->id);
	else if (m)
		str_copy(it->machine, sizeof(it->machine), m->id);
	if (m && action == DEPLOY_UPDATE)
		it->asleep = m->d.want == WANT_STOPPED;
	return 0;
}

/* The only machine of a group that serves requests gets its successor beside it, if there is room
 * for both. */
static bool replaces(const struct world *w, const struct world_machine *m,
    const struct desired *next, size_t have, int64_t count)
{
	const struct world_host *h = NULL;
	return have == 1 && count == 1 && m->d.want == WANT_STARTED && next->has_services &&
	       place_choose(w, m->d.app, m->d.region, &next->size, &h, NULL) == 0;
}

static int plan_group(const struct world *w, const struct world_app *a, const json_t *g, bool scale,
    struct deploy *d, struct err *e)
{
	const char *name = NULL;
	int64_t count = -1;
	json_t *config = NULL;
	int r = 0;
	if ((r = json_need_str(g, "groups", "name", &name, e)) < 0 ||
	    (r = json_opt_int(g, "groups", "count", 0, 64, &count, e)) < 0 ||
	    (r = json_opt_object(g, "groups", "config", &config, e)) < 0)
		return r;
	if (!str_is_name(name, NAME_MAX_LEN))
		return err_set(e, ERR_INVALID, "\"%.60s\" is not a process group's name", name);
	struct desired next = { 0 };
	if ((r = desired_check_size(config, json_object_get(config, "metadata"), e)) < 0 ||
	    (r = desired_set_config(&next, config, e)) < 0)
		return err_prefix(e, r, "process group %s", name);
	struct world_machine *have[DEPLOY_ITEMS_MAX];
	size_t n = managed(w, a->id, name, have);
	if (count < 0)
		count = n ? (int64_t)n : 1;
	for (size_t i = 0; r == 0 && i < n && (int64_t)i < count && !scale; i++)
		r = add(d, name,
		    replaces(w, have[i], &next, n, count) ? DEPLOY_REPLACE : DEPLOY_UPDATE, have[i],
		    e);
	for (int64_t i = (int64_t)n; r == 0 && i < count; i++)
		r = add(d, name, DEPLOY_CREATE, NULL, e);
	for (size_t i = (size_t)count; r == 0 && i < n; i++)
		r = add(d, name, DEPLOY_REMOVE, have[i], e);
	/* What cannot fit at all is refused before anything is touched. */
	const struct world_host *h = NULL;
	if (r == 0 && (int64_t)n < count)
		r = place_choose(w, a->id, "", &next.size, &h, e);
	desired_done(&next);
	return r;
}

int deploy_plan(const struct world *w, const struct world_app *a, const json_t *groups, bool scale,
    struct deploy *ret, struct err *e)
{
	ret->nitems = 0;
	size_t i;
	json_t *g;
	if (!json_is_array(groups) || !json_array_size(groups))
		return err_set(
		    e, ERR_INVALID, "groups must be a list with at least one process group");
	json_array_foreach ((json_t *)(uintptr_t)groups, i, g) {
		int r = plan_group(w, a, g, scale, ret, e);
		if (r < 0)
			return r;
	}
	if (scale)
		return 0;
	/* Groups that are no longer part of the app go. */
	for (size_t m = 0; m < w->nmachines; m++) {
		const struct world_machine *mm = w->machines[m];
		if (!world_machine_counts(mm, a->id, NULL) || mm->d.release == 0)
			continue;
		bool named = false;
		json_array_foreach ((json_t *)(uintptr_t)groups, i, g) {
			named |= streq(mm->d.group, json_string_value(json_object_get(g, "name")));
		}
		int r = named ? 0 : add(ret, mm->d.group, DEPLOY_REMOVE, mm, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int deploy_make_machine(const struct world *w, const struct app *app, const char *group,
    const char *name, const char *region, json_t *config, int64_t release,
    const struct fresh *fresh, struct desired *ret, char ret_host[NAME_MAX_LEN + 1], struct err *e)
{
	struct desired d = { 0 };
	const struct world_host *h = NULL;
	int r = desired_set_config(&d, config, e);
	if (r < 0)
		return r;
	if ((r = place_choose(w, app->id, region, &d.size, &h, e)) < 0) {
		desired_done(&d);
		return r;
	}
	memcpy(d.id, fresh->machine, sizeof(d.id));
	memcpy(d.instance_id, fresh->instance, sizeof(d.instance_id));
	memcpy(d.app, app->id, sizeof(d.app));
	memcpy(d.app_name, app->name, sizeof(d.app_name));
	str_copy(d.group, sizeof(d.group), group);
	str_copy(d.region, sizeof(d.region), h->h.region);
	if (name && *name)
		str_copy(d.name, sizeof(d.name), name);
	else
		snprintf(d.name, sizeof(d.name), "%.40s-%.6s", group,
		    fresh->machine + MACHINE_ID_LEN - 6);
	d.version = 1;
	d.release = release;
	d.want = WANT_STARTED;
	d.network = app->network_id;
	d.number = place_number(w, h->name, fresh->random);
	fresh_time(d.created_at, fresh);
	memcpy(d.updated_at, d.created_at, sizeof(d.updated_at));
	json_t *metadata = json_object_get(config, "metadata");
	d.metadata = json_is_object(metadata) ? json_incref(metadata) : json_object();
	memcpy(ret_host, h->name, sizeof(h->name));
	*ret = d;
	return 0;
}
