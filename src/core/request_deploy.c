#include "core/request_deploy.h"
#include "base/str.h"

static int refuse_second(const struct world_app *a, struct err *e)
{
	if (!a->a.deploy[0])
		return 0;
	err_set(e, ERR_CONFLICT, "deploy %s of app %s is under way", a->a.deploy, a->a.name);
	err_next(e, "wait until it has ended: `ward releases` tells");
	return -EEXIST;
}

/* Writes the deploy, the app that is under it, and the result. */
static int begin(const struct deploy_request *q, struct deploy *d, const json_t *groups,
    bool scale_only, json_t **ret_result, struct err *e)
{
	int r = deploy_plan(q->w, q->app, groups, scale_only, d, e);
	if (r < 0)
		return r;
	if (!str_copy(d->id, sizeof(d->id), q->id))
		return err_set(e, ERR_INVALID, "the request's id is not a ULID");
	memcpy(d->app, q->app->id, sizeof(d->app));
	if (!d->wait_timeout_ms)
		d->wait_timeout_ms = DEPLOY_WAIT_MS;
	fresh_time(d->created_at, q->fresh);
	struct app a = q->app->a;
	a.release = d->release;
	memcpy(a.deploy, d->id, sizeof(a.deploy));
	txn_put(q->t, q->app->rev, app_format(&a), "apps/%s/app", a.id);
	txn_put(q->t, 0, deploy_format(d), "apps/%s/deploys/%s", a.id, d->id);
	*ret_result = json_pack("{s:s,s:I}", "deploy", d->id, "release", (json_int_t)d->release);
	return 0;
}

static void put_release(const struct deploy_request *q, const struct deploy *d,
    const json_t *groups, const char *message)
{
	char at[CLOCK_RFC3339_SIZE];
	fresh_time(at, q->fresh);
	const char *image = json_string_value(
	    json_object_get(json_object_get(json_array_get(groups, 0), "config"), "image"));
	txn_put(q->t, 0,
	    json_pack("{s:i,s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:O}", "v", RECORD_VERSION, "version",
		(json_int_t)d->release, "status", "running", "reason", "", "deploy", q->id,
		"message", message, "actor", q->actor, "image", image ? image : "", "created_at",
		at, "groups", (json_t *)(uintptr_t)groups),
	    "apps/%s/releases/%08lld", q->app->id, (long long)d->release);
}

static int run(const struct deploy_request *q, struct deploy *d, const json_t *groups,
    const char *message, json_t **ret_result, struct err *e)
{
	d->release = world_newest_release(q->app) + 1;
	d->status = DEPLOY_RUNNING;
	int r = begin(q, d, groups, false, ret_result, e);
	if (r == 0)
		put_release(q, d, groups, message);
	return r;
}

int request_deploy_create(const struct deploy_request *q, json_t **ret_result, struct err *e)
{
	const char *strategy = "rolling", *message = "";
	json_t *groups = NULL;
	struct deploy *d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, ERR_NO_MEMORY, "no memory for a deploy");
	int r = 0;
	if ((r = refuse_second(q->app, e)) == 0 &&
	    (r = json_opt_str(q->body, "", "strategy", &strategy, e)) == 0 &&
	    (r = json_opt_str(q->body, "", "message", &message, e)) == 0 &&
	    (r = json_opt_array(q->body, "", "groups", &groups, e)) == 0 &&
	    (r = json_opt_int(
		 q->body, "", "wait_timeout_ms", 1000, 86400000, &d->wait_timeout_ms, e)) == 0) {
		d->immediate = streq(strategy, "immediate");
		if (!d->immediate && !streq(strategy, "rolling"))
			r = err_set(
			    e, ERR_UNSUPPORTED, "strategy \"%.40s\" is not built yet", strategy);
		else
			r = run(q, d, groups, message, ret_result, e);
	}
	free(d);
	return r;
}

int request_rollback(const struct deploy_request *q, json_t **ret_result, struct err *e)
{
	int64_t present = world_present_release(q->app), to = 0;
	int r = refuse_second(q->app, e);
	if (r < 0 || (r = json_opt_int(q->body, "", "version", 1, 99999999, &to, e)) < 0)
		return r;
	if (!to)
		to = world_succeeded_below(q->app, present);
	const json_t *release = to ? world_release(q->app, to) : NULL;
	if (!release)
		return err_set(e, ERR_NOT_FOUND,
		    to ? "app %s has no release %lld"
		       : "app %s has no earlier release that succeeded (%lld)",
		    q->app->a.name, (long long)to);
	struct deploy *d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, ERR_NO_MEMORY, "no memory for a deploy");
	char message[64];
	snprintf(message, sizeof(message), "back to release %lld", (long long)to);
	r = run(q, d, json_object_get(release, "groups"), message, ret_result, e);
	free(d);
	return r;
}

/* The groups with one count changed; NULL: no such group, or no memory. Caller decrefs. */
static json_t *with_count(const json_t *groups, const char *name, int64_t count)
{
	json_t *copy = json_array();
	bool found = false;
	for (size_t i = 0; i < json_array_size(groups); i++) {
		json_t *g = json_copy(json_array_get(groups, i));
		const char *n = json_string_value(json_object_get(g, "name"));
		if (n && streq(n, name)) {
			found = true;
			json_object_set_new(g, "count", json_integer(count));
		}
		json_array_append_new(copy, g);
	}
	if (found)
		return copy;
	json_decref(copy);
	return NULL;
}

int request_scale(const struct deploy_request *q, json_t **ret_result, struct err *e)
{
	const char *group = "app";
	int64_t count = 0;
	int r = refuse_second(q->app, e);
	if (r < 0 || (r = json_opt_str(q->body, "", "group", &group, e)) < 0 ||
	    (r = json_need_int(q->body, "", "count", 0, 64, &count, e)) < 0)
		return r;
	int64_t present = world_present_release(q->app);
	if (!present)
		return err_set(e, ERR_CONFLICT,
		    "app %s has no release that succeeded: deploy it first", q->app->a.name);
	char name[16];
	snprintf(name, sizeof(name), "%08lld", (long long)present);
	const json_t *entry = json_object_get(q->app->releases, name);
	const json_t *record = json_object_get(entry, "record");
	cleanup_json json_t *groups = with_count(json_object_get(record, "groups"), group, count);
	if (!groups)
		return err_set(e, ERR_NOT_FOUND,
		    "release %lld of app %s has no process group %.60s", (long long)present,
		    q->app->a.name, group);
	struct deploy *d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, ERR_NO_MEMORY, "no memory for a deploy");
	d->release = present;
	d->status = DEPLOY_RUNNING;
	r = begin(q, d, groups, true, ret_result, e);
	free(d);
	if (r < 0)
		return r;
	json_t *copy = json_copy((json_t *)(uintptr_t)record);
	json_object_set(copy, "groups", groups);
	txn_put(q->t, json_integer_value(json_object_get(entry, "rev")), copy,
	    "apps/%s/releases/%s", q->app->id, name);
	return 0;
}
