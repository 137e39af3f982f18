#include "core/request.h"
#include "base/str.h"
#include "core/place.h"
#include "core/request_deploy.h"

/* One request being decided. Handlers add to t and set *result, or fill *e. */
struct deciding {
	const struct world *w;
	const char *id, *actor;
	const json_t *body;
	const struct fresh *fresh;
	struct world_app *app; /* where the kind needs one */
	struct world_machine *m;
	struct txn *t;
	json_t *result; /* owned */
	int status;
};

/* ---- apps ---- */

static uint32_t network_of(
    const struct world *w, const char *org, const char *network, uint32_t random)
{
	bool taken = random < 2;
	for (size_t i = 0; i < w->napps; i++) {
		const struct world_app *a = w->apps[i];
		if (a->rev && streq(a->a.org, org) && streq(a->a.network, network))
			return a->a.network_id;
		taken |= a->rev && a->a.network_id == random;
	}
	return taken ? 0 : random;
}

static int app_create(struct deciding *c, struct err *e)
{
	struct app a = { .status = APP_PENDING };
	const char *name = NULL, *org = NULL, *network = "default";
	int r = 0;
	if ((r = json_need_str(c->body, "", "name", &name, e)) < 0 ||
	    (r = json_need_str(c->body, "", "org", &org, e)) < 0 ||
	    (r = json_opt_str(c->body, "", "network", &network, e)) < 0)
		return r;
	if (!*network)
		network = "default";
	if (!str_is_name(name, NAME_MAX_LEN))
		return err_set(e, ERR_INVALID,
		    "\"%.60s\" is not an app's name: small letters, digits and single dashes "
		    "inside, at most 63",
		    name);
	if (!str_copy(a.name, sizeof(a.name), name) || !str_copy(a.org, sizeof(a.org), org) ||
	    !str_copy(a.network, sizeof(a.network), network) || !*org)
		return err_set(
		    e, ERR_INVALID, "the organisation's or network's name is too long or empty");
	int64_t rev = 0;
	if (world_name(c->w, name, &rev))
		return err_set(e, ERR_NAME_TAKEN, "the name %s is taken", name);
	a.network_id = network_of(c->w, org, network, c->fresh->random);
	if (!a.network_id)
		return err_set(e, ERR_UNAVAILABLE, "no free network id was drawn");
	memcpy(a.id, c->fresh->app, sizeof(a.id));
	fresh_time(a.created_at, c->fresh);
	c->result = app_format(&a);
	c->status = 201;
	txn_put(c->t, 0, app_format(&a), "apps/%s/app", a.id);
	txn_put(
	    c->t, 0, json_pack("{s:i,s:s}", "v", RECORD_VERSION, "id", a.id), "names/%s", a.name);
	return 0;
}

static int app_delete(struct deciding *c, struct err *e)
{
	struct app a = c->app->a;
	int64_t rev = 0;
	const char *owner = world_name(c->w, a.name, &rev);
	a.status = APP_DELETING;
	a.deploy[0] = 0;
	txn_put(c->t, c->app->rev, app_format(&a), "apps/%s/app", a.id);
	if (owner && streq(owner, a.id))
		txn_delete(c->t, rev, "names/%s", a.name);
	c->result = json_object();
	c->status = 202;
	return 0;
}

/* ---- machines ---- */

static void result_of_machine(struct deciding *c, const struct desired *d)
{
	c->result = json_pack("{s:s,s:s,s:I,s:s}", "machine", d->id, "instance_id", d->instance_id,
	    "version", (json_int_t)d->version, "name", d->name);
}

static void put_machine(struct deciding *c, struct desired *d)
{
	fresh_time(d->updated_at, c->fresh);
	txn_put(c->t, c->m->rev, desired_format(d), "desired/%s/%s", c->m->host, d->id);
	result_of_machine(c, d);
}

/* Any new order forgets how the last stop was to be done. */
static void plain_stop(struct desired *d)
{
	d->stop_signal[0] = 0;
	d->stop_timeout_ms = 0;
	d->stop_force = false;
}

static int read_stop(const struct deciding *c, struct desired *d, const char *force, struct err *e)
{
	plain_stop(d);
	int r = 0;
	if ((r = record_opt_text(c->body, "signal", d->stop_signal, sizeof(d->stop_signal), e)) <
		0 ||
	    (r = json_opt_int(c->body, "", "timeout_ms", 0, 300000, &d->stop_timeout_ms, e)) < 0)
		return r;
	return json_opt_bool(c->body, "", force, &d->stop_force, e);
}

static bool machine_name_taken(const struct deciding *c, const char *name)
{
	for (size_t i = 0; i < c->w->nmachines; i++) {
		const struct world_machine *m = c->w->machines[i];
		if (m != c->m && world_machine_counts(m, c->app->id, NULL) &&
		    streq(m->d.name, name))
			return true;
	}
	return false;
}

static int machine_create(struct deciding *c, struct err *e)
{
	const char *name = "", *region = "";
	json_t *config = NULL, *metadata = NULL;
	bool skip = false;
	int r = 0;
	if ((r = json_opt_str(c->body, "", "name", &name, e)) < 0 ||
	    (r = json_opt_str(c->body, "", "region", &region, e)) < 0 ||
	    (r = json_opt_object(c->body, "", "config", &config, e)) < 0 ||
	    (r = json_opt_object(c->body, "", "metadata", &metadata, e)) < 0 ||
	    (r = json_opt_bool(c->body, "", "skip_launch", &skip, e)) < 0)
		return r;
	if (!metadata && json_is_object(json_object_get(config, "metadata")))
		metadata = json_object_get(config, "metadata");
	if ((r = desired_check_size(config, metadata, e)) < 0)
		return r;
	if (*name && !str_is_name(name, NAME_MAX_LEN))
		return err_set(e, ERR_INVALID, "\"%.60s\" is not a machine's name", name);
	if (*name && machine_name_taken(c, name))
		return err_set(e, ERR_CONFLICT, "machine name %s is taken in this app", name);
	const char *group = json_string_value(
	    json_object_get(json_object_get(config, "metadata"), "fly_process_group"));
	if (!group || !str_is_name(group, NAME_MAX_LEN))
		group = "app";
	struct desired d;
	char host[NAME_MAX_LEN + 1];
	if ((r = deploy_make_machine(
		 c->w, &c->app->a, group, name, region, config, 0, c->fresh, &d, host, e)) < 0)
		return r;
	if (metadata) {
		json_decref(d.metadata);
		d.metadata = json_incref(metadata);
	}
	d.skip_launch = skip;
	if (skip)
		d.want = WANT_STOPPED;
	txn_put(c->t, 0, desired_format(&d), "desired/%s/%s", host, d.id);
	result_of_machine(c, &d);
	desired_done(&d);
	return 0;
}

static int machine_update(struct deciding *c, struct err *e)
{
	const char *name = "", *current = "";
	json_t *config = NULL;
	bool skip = false;
	int r = 0;
	if ((r = json_opt_str(c->body, "", "name", &name, e)) < 0 ||
	    (r = json_opt_str(c->body, "", "current_version", &current, e)) < 0 ||
	    (r = json_opt_object(c->body, "", "config", &config, e)) < 0 ||
	    (r = json_opt_bool(c->body, "", "skip_launch", &skip, e)) < 0)
		return r;
	if (*current && !streq(current, c->m->d.instance_id))
		return err_set(e, ERR_CONFLICT, "machine %s is at version %s, not %.40s", c->m->id,
		    c->m->d.instance_id, current);
	if (*name && (!str_is_name(name, NAME_MAX_LEN) || machine_name_taken(c, name)))
		return err_set(e, ERR_CONFLICT, "machine name %.60s is taken or not a name", name);
	json_t *metadata = json_object_get(config, "metadata");
	if (config && (r = desired_check_size(config, metadata, e)) < 0)
		return r;
	struct desired d;
	desired_copy(&c->m->d, &d);
	if (config && ((r = desired_set_config(&d, config, e)) < 0 ||
			  (r = place_resize(c->w, c->m, &d.size, e)) < 0)) {
		desired_done(&d);
		return r;
	}
	if (*name)
		str_copy(d.name, sizeof(d.name), name);
	if (json_is_object(metadata)) {
		json_decref(d.metadata);
		d.metadata = json_incref(metadata);
	}
	plain_stop(&d);
	memcpy(d.instance_id, c->fresh->instance, sizeof(d.instance_id));
	d.version++;
	d.skip_launch = skip;
	if (skip)
		d.want = WANT_STOPPED;
	put_machine(c, &d);
	desired_done(&d);
	return 0;
}

/* What start, stop, restart, destroy, cordon and uncordon change; false: nothing, the outcome alone
 * is written. */
static int change_machine(struct deciding *c,
    int (*change)(struct deciding *, struct desired *, struct err *), struct err *e)
{
	struct desired d;
	desired_copy(&c->m->d, &d);
	int r = change(c, &d, e);
	if (r == 0)
		put_machine(c, &d);
	desired_done(&d);
	return r;
}

static int do_start(struct deciding *c, struct desired *d, struct err *e)
{
	plain_stop(d);
	d->want = WANT_STARTED;
	d->skip_launch = false;
	d->start_seq++;
	return 0;
}

static int do_stop(struct deciding *c, struct desired *d, struct err *e)
{
	d->want = WANT_STOPPED;
	return read_stop(c, d, "force", e);
}

static int do_restart(struct deciding *c, struct desired *d, struct err *e)
{
	int r = read_stop(c, d, "force_stop", e);
	d->want = WANT_STARTED;
	d->restart_seq++;
	return r;
}

static int do_destroy(struct deciding *c, struct desired *d, struct err *e)
{
	bool force = false;
	int r = json_opt_bool(c->body, "", "force", &force, e);
	plain_stop(d);
	d->stop_force = force;
	d->want = WANT_DESTROYED;
	return r;
}

static int do_cordon(struct deciding *c, struct desired *d, struct err *e)
{
	d->cordoned = true;
	return 0;
}

static int do_uncordon(struct deciding *c, struct desired *d, struct err *e)
{
	d->cordoned = false;
	return 0;
}

static int machine_start(struct deciding *c, struct err *e)
{
	const char *previous = machine_want_name(c->m->d.want);
	int r = change_machine(c, do_start, e);
	if (r == 0)
		json_object_set_new(c->result, "previous_want", json_string(previous));
	return r;
}

static int machine_stop(struct deciding *c, struct err *e)
{
	return change_machine(c, do_stop, e);
}

static int machine_restart(struct deciding *c, struct err *e)
{
	return change_machine(c, do_restart, e);
}

static int machine_destroy(struct deciding *c, struct err *e)
{
	bool force = false;
	int r = json_opt_bool(c->body, "", "force", &force, e);
	if (r < 0)
		return r;
	bool runs = c->m->has_observed &&
		    (c->m->o.state == MACHINE_STARTED || c->m->o.state == MACHINE_STARTING);
	if (runs && c->m->d.want == WANT_STARTED && !force)
		return err_set(e, ERR_PRECONDITION,
		    "machine %s is %s: stop it first, or destroy it with force", c->m->id,
		    machine_state_name(c->m->o.state));
	return change_machine(c, do_destroy, e);
}

static int machine_cordon(struct deciding *c, struct err *e)
{
	return change_machine(c, do_cordon, e);
}

static int machine_uncordon(struct deciding *c, struct err *e)
{
	return change_machine(c, do_uncordon, e);
}

static int do_metadata(struct deciding *c, struct desired *d, struct err *e)
{
	json_t *set = NULL, *remove = NULL, *replace = NULL;
	int r = 0;
	if ((r = json_opt_object(c->body, "", "set", &set, e)) < 0 ||
	    (r = json_opt_array(c->body, "", "delete", &remove, e)) < 0 ||
	    (r = json_opt_object(c->body, "", "replace", &replace, e)) < 0)
		return r;
	json_t *next = json_copy(replace ? replace : d->metadata);
	if (set && next)
		json_object_update(next, set);
	for (size_t i = 0; i < json_array_size(remove); i++)
		if (json_string_value(json_array_get(remove, i)))
			json_object_del(next, json_string_value(json_array_get(remove, i)));
	const char *key;
	json_t *v;
	json_object_foreach (next, key, v) {
		if (!json_is_string(v)) {
			json_decref(next);
			return err_set(e, ERR_INVALID, "metadata.%.60s must be a string", key);
		}
	}
	json_decref(d->metadata);
	d->metadata = next;
	return next ? desired_check_size(d->config, next, e)
		    : err_set(e, ERR_NO_MEMORY, "no memory for metadata");
}

static int machine_metadata(struct deciding *c, struct err *e)
{
	struct desired d;
	desired_copy(&c->m->d, &d);
	int r = do_metadata(c, &d, e);
	if (r == 0) {
		put_machine(c, &d);
		json_object_set(c->result, "metadata", d.metadata);
	}
	desired_done(&d);
	return r;
}

/* ---- deploys ---- */

static int run_deploy(struct deciding *c,
    int (*decide)(const struct deploy_request *q, json_t **ret_result, struct err *e),
    struct err *e)
{
	struct deploy_request q = { c->w, c->app, c->id, c->actor, c->body, c->fresh, c->t };
	c->status = 202;
	return decide(&q, &c->result, e);
}

static int deploy_create(struct deciding *c, struct err *e)
{
	return run_deploy(c, request_deploy_create, e);
}

static int release_rollback(struct deciding *c, struct err *e)
{
	return run_deploy(c, request_rollback, e);
}

static int scale(struct deciding *c, struct err *e)
{
	return run_deploy(c, request_scale, e);
}

/* ---- the table ---- */

static const struct kind {
	const char *name;
	bool app, machine;
	int (*decide)(struct deciding *c, struct err *e);
} kinds[] = {
	{ "app.create", false, false, app_create },
	{ "app.delete", true, false, app_delete },
	{ "machine.create", true, false, machine_create },
	{ "machine.update", true, true, machine_update },
	{ "machine.start", true, true, machine_start },
	{ "machine.stop", true, true, machine_stop },
	{ "machine.restart", true, true, machine_restart },
	{ "machine.destroy", true, true, machine_destroy },
	{ "machine.cordon", true, true, machine_cordon },
	{ "machine.uncordon", true, true, machine_uncordon },
	{ "machine.metadata", true, true, machine_metadata },
	{ "deploy.create", true, false, deploy_create },
	{ "release.rollback", true, false, release_rollback },
	{ "scale", true, false, scale },
};

static int find_objects(
    struct deciding *c, const struct kind *k, const json_t *request, struct err *e)
{
	const char *app = "", *machine = "";
	int r = 0;
	if ((r = json_opt_str(request, "", "app", &app, e)) < 0 ||
	    (r = json_opt_str(request, "", "machine", &machine, e)) < 0)
		return r;
	if (k->app && (!(c->app = world_app(c->w, app)) || c->app->a.status == APP_DELETING))
		return err_set(e, ERR_NOT_FOUND, "there is no app with id %.40s", app);
	if (!k->machine)
		return 0;
	c->m = world_machine(c->w, machine);
	if (!c->m || !streq(c->m->d.app, c->app->id) || c->m->d.want == WANT_DESTROYED)
		return err_set(
		    e, ERR_NOT_FOUND, "app %s has no machine %.40s", c->app->a.name, machine);
	return 0;
}

static int decide(struct deciding *c, const json_t *request, struct err *e)
{
	const char *name = NULL;
	json_t *body = NULL;
	int r = 0;
	if ((r = record_check_version(request, "request", e)) < 0 ||
	    (r = json_need_str(request, "", "kind", &name, e)) < 0 ||
	    (r = json_opt_str(request, "", "actor", &c->actor, e)) < 0 ||
	    (r = json_opt_object(request, "", "body", &body, e)) < 0)
		return r;
	cleanup_json json_t *none = json_object();
	c->body = body ? body : none;
	for (size_t i = 0; i < countof(kinds); i++) {
		if (!streq(kinds[i].name, name))
			continue;
		if ((r = find_objects(c, &kinds[i], request, e)) < 0)
			return r;
		return kinds[i].decide(c, e);
	}
	return err_set(e, ERR_UNSUPPORTED, "a request of kind \"%.40s\" is not known", name);
}

int request_decide(const struct world *w, const char *id, const json_t *request,
    const struct fresh *fresh, struct txn *t, struct err *e)
{
	struct deciding c = {
		.w = w, .id = id, .actor = "", .fresh = fresh, .t = t, .status = 200
	};
	struct err why = { 0 };
	char at[CLOCK_RFC3339_SIZE];
	fresh_time(at, fresh);
	int r = decide(&c, request, &why);
	if (r == 0 && t->failed)
		r = err_set(
		    &why, ERR_TOO_LARGE, "the request changes more than one transaction can hold");
	json_t *outcome = NULL;
	if (r < 0) {
		txn_done(t);
		json_decref(c.result);
		outcome = json_pack("{s:i,s:i,s:s,s:s,s:s,s:s}", "v", RECORD_VERSION, "status",
		    err_code_status(why.code), "error", why.text, "code", err_code_name(why.code),
		    "next", err_next_step(&why), "at", at);
	} else {
		outcome = json_pack("{s:i,s:i,s:o,s:s}", "v", RECORD_VERSION, "status", c.status,
		    "result", c.result, "at", at);
	}
	txn_put(t, 0, outcome, "outcomes/%s", id);
	return t->failed ? err_set(e, ERR_NO_MEMORY, "no memory for the outcome of request %s", id)
			 : 0;
}
