#include "core/world.h"
#include "base/str.h"

int world_init(struct world *w, struct err *e)
{
	*w = (struct world){ .names = json_object() };
	return w->names ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for the view");
}

static void app_free(struct world_app *a)
{
	json_decref(a->releases);
	json_decref(a->deploys);
	free(a->deploy);
	free(a);
}

void world_done(struct world *w)
{
	for (size_t i = 0; i < w->nmachines; i++) {
		if (w->machines[i]->has_desired)
			desired_done(&w->machines[i]->d);
		free(w->machines[i]);
	}
	for (size_t i = 0; i < w->napps; i++)
		app_free(w->apps[i]);
	free(w->machines);
	free(w->apps);
	free(w->hosts);
	json_decref(w->names);
	*w = (struct world){ 0 };
}

/* ---- finding, and making room ---- */

static struct world_machine *machine_at(
    struct world *w, const char *host, const char *id, bool make)
{
	for (size_t i = 0; i < w->nmachines; i++)
		if (streq(w->machines[i]->id, id) && streq(w->machines[i]->host, host))
			return w->machines[i];
	if (!make)
		return NULL;
	struct world_machine *m = calloc(1, sizeof(*m));
	struct world_machine **all =
	    m ? reallocarray(w->machines, w->nmachines + 1, sizeof(void *)) : NULL;
	if (!all || !str_copy(m->host, sizeof(m->host), host) ||
	    !str_copy(m->id, sizeof(m->id), id)) {
		if (all)
			w->machines = all;
		free(m);
		return NULL;
	}
	w->machines = all;
	return all[w->nmachines++] = m;
}

static void machine_drop_if_empty(struct world *w, struct world_machine *m)
{
	if (m->has_desired || m->has_observed || m->has_checks)
		return;
	for (size_t i = 0; i < w->nmachines; i++)
		if (w->machines[i] == m)
			w->machines[i] = w->machines[--w->nmachines];
	free(m);
}

static struct world_app *app_at(struct world *w, const char *id, bool make)
{
	for (size_t i = 0; i < w->napps; i++)
		if (streq(w->apps[i]->id, id))
			return w->apps[i];
	if (!make)
		return NULL;
	struct world_app *a = calloc(1, sizeof(*a));
	struct world_app **all = a ? reallocarray(w->apps, w->napps + 1, sizeof(void *)) : NULL;
	if (!all || !str_copy(a->id, sizeof(a->id), id)) {
		if (all)
			w->apps = all;
		free(a);
		return NULL;
	}
	a->releases = json_object();
	a->deploys = json_object();
	w->apps = all;
	return all[w->napps++] = a;
}

static void app_drop_if_empty(struct world *w, struct world_app *a)
{
	if (a->rev || json_object_size(a->releases) || json_object_size(a->deploys))
		return;
	for (size_t i = 0; i < w->napps; i++)
		if (w->apps[i] == a)
			w->apps[i] = w->apps[--w->napps];
	app_free(a);
}

static struct world_host *host_at(struct world *w, const char *name)
{
	for (size_t i = 0; i < w->nhosts; i++)
		if (streq(w->hosts[i].name, name))
			return &w->hosts[i];
	struct world_host *all = reallocarray(w->hosts, w->nhosts + 1, sizeof(*all));
	if (!all)
		return NULL;
	w->hosts = all;
	struct world_host *h = &all[w->nhosts];
	*h = (struct world_host){ 0 };
	if (!str_copy(h->name, sizeof(h->name), name))
		return NULL;
	w->nhosts++;
	return h;
}

/* ---- one key each ---- */

static int no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the view");
}

static int set_desired(
    struct world *w, const char *host, const char *id, const json_t *v, int64_t rev, struct err *e)
{
	struct world_machine *m = machine_at(w, host, id, v != NULL);
	if (!m)
		return v ? no_memory(e) : 0;
	if (m->has_desired)
		desired_done(&m->d);
	m->has_desired = false;
	m->rev = 0;
	int r = v ? desired_parse(v, &m->d, e) : 0;
	if (v && r == 0) {
		m->has_desired = true;
		m->rev = rev;
	}
	machine_drop_if_empty(w, m);
	return r;
}

static int set_observed(
    struct world *w, const char *host, const char *id, const json_t *v, struct err *e)
{
	struct world_machine *m = machine_at(w, host, id, v != NULL);
	if (!m)
		return v ? no_memory(e) : 0;
	int r = v ? observed_parse(v, &m->o, e) : 0;
	m->has_observed = v && r == 0;
	machine_drop_if_empty(w, m);
	return r;
}

static int set_checks(
    struct world *w, const char *host, const char *id, const json_t *v, struct err *e)
{
	struct world_machine *m = machine_at(w, host, id, v != NULL);
	if (!m)
		return v ? no_memory(e) : 0;
	int r = v ? checks_parse(v, &m->c, e) : 0;
	m->has_checks = v && r == 0;
	machine_drop_if_empty(w, m);
	return r;
}

/* a->deploy follows a->a.deploy and its record, whichever comes first. */
static int refresh_deploy(struct world_app *a, int64_t rev, const char *changed, struct err *e)
{
	const json_t *v =
	    a->rev && a->a.deploy[0] ? json_object_get(a->deploys, a->a.deploy) : NULL;
	if (!v) {
		free(a->deploy);
		a->deploy = NULL;
		return 0;
	}
	if (a->deploy && streq(a->deploy->id, a->a.deploy) && !changed)
		return 0;
	struct deploy *d = calloc(1, sizeof(*d));
	if (!d)
		return no_memory(e);
	int r = deploy_parse(json_object_get(v, "record"), d, e);
	if (r < 0) {
		free(d);
		return r;
	}
	(void)rev;
	a->deploy_rev = json_integer_value(json_object_get(v, "rev"));
	if (a->deploy && deploy_same_place(a->deploy, d))
		d->since_ms = a->deploy->since_ms;
	free(a->deploy);
	a->deploy = d;
	return 0;
}

static int set_app(struct world *w, const char *id, const json_t *v, int64_t rev, struct err *e)
{
	struct world_app *a = app_at(w, id, v != NULL);
	if (!a)
		return v ? no_memory(e) : 0;
	struct app parsed;
	int r = v ? app_parse(v, &parsed, e) : 0;
	a->rev = v && r == 0 ? rev : 0;
	if (a->rev)
		a->a = parsed;
	if (r == 0)
		r = refresh_deploy(a, 0, NULL, e);
	app_drop_if_empty(w, a);
	return r;
}

static int set_of_app(struct world *w, const char *id, const char *kind, const char *name,
    const json_t *v, int64_t rev, struct err *e)
{
	bool release = streq(kind, "releases"), deploy = streq(kind, "deploys");
	if (!release && !deploy)
		return 0;
	struct world_app *a = app_at(w, id, v != NULL);
	if (!a)
		return v ? no_memory(e) : 0;
	json_t *into = release ? a->releases : a->deploys;
	int r = 0;
	if (v)
		json_object_set_new(into, name,
		    json_pack(
			"{s:O,s:I}", "record", (json_t *)(uintptr_t)v, "rev", (json_int_t)rev));
	else
		json_object_del(into, name);
	if (deploy)
		r = refresh_deploy(a, rev, streq(name, a->a.deploy) ? name : NULL, e);
	app_drop_if_empty(w, a);
	return r;
}

static int set_host(struct world *w, const char *name, const json_t *v, struct err *e)
{
	struct world_host *h = host_at(w, name);
	if (!h)
		return no_memory(e);
	int r = v ? host_parse(v, &h->h, e) : 0;
	h->known = v && r == 0;
	return r;
}

int world_set(struct world *w, const char *key, const json_t *value, int64_t rev, struct err *e)
{
	char buf[256];
	char *part[5] = { 0 };
	size_t n = 0;
	if (!str_copy(buf, sizeof(buf), key))
		return err_set(e, ERR_INVALID, "a key longer than %zu bytes", sizeof(buf) - 1);
	for (char *p = buf, *s; n < countof(part) && (s = strsep(&p, "/"));)
		part[n++] = s;
	if (n == 3 && streq(part[0], "desired"))
		return set_desired(w, part[1], part[2], value, rev, e);
	if (n == 3 && streq(part[0], "observed"))
		return set_observed(w, part[1], part[2], value, e);
	if (n == 4 && streq(part[0], "observed") && streq(part[2], "checks"))
		return set_checks(w, part[1], part[3], value, e);
	if (n == 3 && streq(part[0], "apps") && streq(part[2], "app"))
		return set_app(w, part[1], value, rev, e);
	if (n == 4 && streq(part[0], "apps"))
		return set_of_app(w, part[1], part[2], part[3], value, rev, e);
	if (n == 2 && streq(part[0], "hosts"))
		return set_host(w, part[1], value, e);
	if (n == 2 && streq(part[0], "alive")) {
		struct world_host *h = host_at(w, part[1]);
		if (!h)
			return no_memory(e);
		h->alive = value != NULL;
	} else if (n == 2 && streq(part[0], "names")) {
		const char *id = NULL;
		int r = value ? json_need_str(value, "name", "id", &id, e) : 0;
		if (r < 0)
			return r;
		if (id)
			json_object_set_new(w->names, part[1],
			    json_pack("{s:s,s:I}", "id", id, "rev", (json_int_t)rev));
		else
			json_object_del(w->names, part[1]);
	}
	return 0;
}

/* ---- asking ---- */

struct world_machine *world_machine(const struct world *w, const char *id)
{
	for (size_t i = 0; i < w->nmachines; i++)
		if (w->machines[i]->has_desired && streq(w->machines[i]->id, id))
			return w->machines[i];
	return NULL;
}

struct world_app *world_app(const struct world *w, const char *id)
{
	for (size_t i = 0; i < w->napps; i++)
		if (w->apps[i]->rev && streq(w->apps[i]->id, id))
			return w->apps[i];
	return NULL;
}

const char *world_name(const struct world *w, const char *name, int64_t *ret_rev)
{
	const json_t *v = json_object_get(w->names, name);
	*ret_rev = json_integer_value(json_object_get(v, "rev"));
	return json_string_value(json_object_get(v, "id"));
}

struct world_app *world_app_by_name(const struct world *w, const char *name)
{
	int64_t rev = 0;
	const char *id = world_name(w, name, &rev);
	return id ? world_app(w, id) : NULL;
}

const json_t *world_release(const struct world_app *a, int64_t n)
{
	char name[16];
	snprintf(name, sizeof(name), "%08lld", (long long)n);
	return json_object_get(json_object_get(a->releases, name), "record");
}

int64_t world_newest_release(const struct world_app *a)
{
	int64_t newest = a->a.release;
	const char *name;
	json_t *v;
	json_object_foreach (a->releases, name, v) {
		uint64_t n = 0;
		if (str_u64(name, 99999999, &n) && (int64_t)n > newest)
			newest = (int64_t)n;
	}
	return newest;
}

int64_t world_succeeded_below(const struct world_app *a, int64_t below)
{
	int64_t best = 0;
	const char *name;
	json_t *v;
	json_object_foreach (a->releases, name, v) {
		uint64_t n = 0;
		const char *status =
		    json_string_value(json_object_get(json_object_get(v, "record"), "status"));
		if (status && streq(status, "succeeded") && str_u64(name, 99999999, &n) &&
		    (int64_t)n < below && (int64_t)n > best)
			best = (int64_t)n;
	}
	return best;
}

int64_t world_present_release(const struct world_app *a)
{
	return world_succeeded_below(a, INT64_MAX);
}

bool world_machine_counts(const struct world_machine *m, const char *app, const char *group)
{
	return m->has_desired && m->d.want != WANT_DESTROYED && streq(m->d.app, app) &&
	       (!group || streq(m->d.group, group));
}

void fresh_time(char dst[CLOCK_RFC3339_SIZE], const struct fresh *f)
{
	clock_format_rfc3339(dst, f->wall_ms * 1000);
}
