/* Follows the store: each change of an app, a machine or a check's status makes the table anew from
 * all that is known, by core/routes. With the store away, what was known last goes on, and checks
 * go on changing it. */
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "core/records.h"
#include "edge/last_table.h"
#include "edge/probe.h"
#include "edge/watcher.h"
#include "store/passed.h"

enum {
	SETTLE_MS = 5,
	SAVE_AFTER_MS = 1000,
	WRITE_RETRY_MS = 2000,
	LAST_RETRY_MS = 2000,
	MACHINES_MAX = 4096,
	APPS_MAX = 16384
};

struct machine {
	struct record_machine r;
	struct probe *probe[RECORD_CHECKS_MAX];
	bool checks_dirty; /* what the store says about its checks is old */
};

struct follow {
	struct watcher *w;
	struct store *store;
	struct store_view *apps, *desired, *observed;
	char desired_prefix[96], observed_prefix[96];
	struct probes probes;
	sd_event_source *rebuild, *save, *write, *last;
	struct machine *machine;
	size_t nmachines;
	struct routes_app *app;
	size_t napps;
	struct buf table; /* what was published last */
	int64_t told[64]; /* revisions of records that were refused */
	size_t ntold;
	bool synced, complained, write_failing;
};

static void wake(sd_event_source *s, uint64_t in_ms)
{
	uint64_t now = clock_mono_ms();
	int on;
	/* an earlier wake-up stands */
	if (sd_event_source_get_enabled(s, &on) > 0 && on != SD_EVENT_OFF)
		return;
	(void)sd_event_source_set_time(s, (now + in_ms) * 1000);
	(void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* ---- what is known ---- */

/* A poisonous record is left out, and told once: each revision is another record. */
static void complain(struct follow *f, int64_t rev, const struct err *e, const char *key)
{
	for (size_t i = 0; i < countof(f->told); i++)
		if (f->told[i] == rev)
			return;
	f->told[f->ntold++ % countof(f->told)] = rev;
	log_err(e, "%s is not routed", key);
}

static int take_app(void *arg, const char *key, json_t *value, int64_t rev)
{
	struct follow *f = arg;
	struct app a;
	struct err e;
	if (!str_ends(key, "/app") || f->napps == APPS_MAX)
		return 0;
	if (app_parse(value, &a, &e) < 0) {
		complain(f, rev, &e, key);
		return 0;
	}
	struct routes_app *to = &f->app[f->napps++];
	memset(to, 0, sizeof(*to));
	memcpy(to->id, a.id, sizeof(to->id));
	str_copy(to->name, sizeof(to->name), a.name);
	memcpy(to->created_at, a.created_at, sizeof(to->created_at));
	return 0;
}

static int take_machine(void *arg, const char *key, json_t *value, int64_t rev)
{
	struct follow *f = arg;
	const char *id = key + strlen(f->desired_prefix);
	char observed[160];
	struct err e;
	if (f->nmachines == MACHINES_MAX)
		return 0;
	snprintf(observed, sizeof(observed), "%s%s", f->observed_prefix, id);
	struct machine *m = &f->machine[f->nmachines];
	memset(m, 0, sizeof(*m));
	if (record_parse(value, store_view_get(f->observed, observed, NULL), &m->r, &e) < 0)
		complain(f, rev, &e, key);
	else
		f->nmachines++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct routes_app *x = a, *y = b;
	int r = strcmp(x->name, y->name);
	if (!r)
		r = strcmp(x->created_at, y->created_at);
	return r ? r : strcmp(x->id, y->id);
}

static int by_app(const void *a, const void *b)
{
	const struct routes_machine *x = a, *y = b;
	int r = strcmp(x->app, y->app);
	return r ? r : strcmp(x->id, y->id);
}

/* What the store has about this check of this very run; the watcher before this one wrote it. */
static enum check_status known_status(struct follow *f, const struct machine *m, const char *check)
{
	char key[160];
	snprintf(key, sizeof(key), "%schecks/%s", f->observed_prefix, m->r.route.id);
	json_t *o = store_view_get(f->observed, key, NULL), *list = json_object_get(o, "checks"),
	       *c;
	const char *instance = json_string_value(json_object_get(o, "instance_id"));
	size_t i;
	if (!instance || !streq(instance, m->r.instance_id) ||
	    json_integer_value(json_object_get(o, "generation")) != m->r.generation)
		return CHECK_WARNING;
	json_array_foreach (list, i, c) {
		const char *name = json_string_value(json_object_get(c, "name"));
		const char *status = json_string_value(json_object_get(c, "status"));
		if (name && status && streq(name, check))
			return streq(status, "passing")    ? CHECK_PASSING
			       : streq(status, "critical") ? CHECK_CRITICAL
							   : CHECK_WARNING;
	}
	return CHECK_WARNING;
}

static void set_health(struct machine *m)
{
	for (size_t i = 0; i < m->r.route.nservices; i++)
		m->r.route.service[i].health = ROUTES_UNCHECKED;
	for (size_t i = 0; i < m->r.nchecks; i++) {
		int s = m->r.check[i].service;
		if (s < 0)
			continue;
		bool passing = m->probe[i] && m->probe[i]->check.status == CHECK_PASSING;
		enum routes_health *h = &m->r.route.service[s].health;
		*h = !passing || *h == ROUTES_NOT_PASSING ? ROUTES_NOT_PASSING : ROUTES_PASSING;
	}
}

static void match_probes(struct follow *f)
{
	static const uint8_t unknown[4];
	probes_begin(&f->probes);
	for (size_t k = 0; k < f->nmachines; k++) {
		struct machine *m = &f->machine[k];
		for (size_t i = 0; i < m->r.nchecks; i++)
			if (m->r.route.started && memcmp(m->r.route.ipv4, unknown, 4) != 0)
				m->probe[i] = probes_want(&f->probes, &m->r, &m->r.check[i],
				    known_status(f, m, m->r.check[i].name));
		set_health(m);
	}
	probes_end(&f->probes);
}

/* ---- the table ---- */

static int put_side(struct route_builder *b, const struct routes *r, const struct routes_side *s,
    enum route_side side, struct err *e)
{
	struct route_pool pool = { .unhealthy = s->unhealthy,
		.resting = s->resting,
		.app_port = s->app_port,
		.force_https = s->force_https };
	int ret = s->present ? route_builder_pool(b, side, &pool, e) : 0;
	for (uint32_t i = s->first; ret >= 0 && i < s->first + s->count; i++) {
		const struct routes_machine *m = r->backend[i].machine;
		const struct routes_service *v = r->backend[i].service;
		struct route_backend to = { .port = v->internal_port,
			.soft = v->soft,
			.hard = v->hard,
			.by_connections = v->by_connections };
		memcpy(to.machine, m->id, sizeof(m->id));
		memcpy(to.ipv4, m->ipv4, 4);
		ret = route_builder_backend(b, &to, e);
	}
	return ret;
}

static int encode(struct follow *f, const struct routes *r, struct buf *ret, struct err *e)
{
	struct route_builder b;
	char host[200];
	int ret_code = 0;
	route_builder_init(&b);
	for (size_t i = 0; ret_code >= 0 && i < r->count; i++) {
		const struct routes_entry *x = &r->entry[i];
		snprintf(host, sizeof(host), "%s.%s", x->app->name, f->w->args->base_domain);
		if ((ret_code = route_builder_app(&b, x->app->id, x->app->name, e)) < 0 ||
		    (ret_code = route_builder_host(&b, host, e)) < 0 ||
		    (ret_code = put_side(&b, r, &x->plain, ROUTE_PLAIN, e)) < 0)
			break;
		ret_code = put_side(&b, r, &x->tls, ROUTE_TLS, e);
	}
	if (ret_code >= 0)
		ret_code = route_builder_finish(&b, f->w->serial + 1, clock_wall_ms(), ret, e);
	route_builder_done(&b);
	return ret_code;
}

/* All but serial and time. */
static bool same_table(const struct buf *a, const struct buf *b)
{
	size_t skip = offsetof(struct route_head, hosts_at);
	return a->len == b->len && a->len > skip &&
	       !memcmp(a->data + skip, b->data + skip, a->len - skip);
}

static void publish(struct follow *f)
{
	static const char *const reserved[] = { "api", NULL };
	struct routes_machine *list = calloc(f->nmachines + 1, sizeof(*list));
	struct routes r = { 0 };
	struct buf b;
	struct err e;
	buf_init(&b, ROUTE_SIZE_MAX);
	for (size_t i = 0; list && i < f->nmachines; i++)
		list[i] = f->machine[i].r.route;
	if (list)
		qsort(list, f->nmachines, sizeof(*list), by_app);
	int ret = list ? routes_plan(f->app, f->napps, list, f->nmachines, reserved, &r, &e)
		       : err_set(&e, ERR_NO_MEMORY, "no memory");
	if (ret >= 0)
		ret = encode(f, &r, &b, &e);
	if (ret < 0) {
		log_err(&e, "no new table can be made, the last one goes on");
	} else if (!same_table(&b, &f->table) && watcher_publish(f->w, buf_bytes(&b)) >= 0) {
		f->w->serial++;
		buf_reset(&f->table);
		if (buf_add(&f->table, b.data, b.len) >= 0)
			wake(f->save, SAVE_AFTER_MS);
	}
	routes_done(&r);
	free(list);
	buf_done(&b);
}

static void mark_dirty_checks(struct follow *f);

static int on_rebuild(sd_event_source *source, uint64_t usec, void *arg)
{
	struct follow *f = arg;
	if (!f->synced)
		return 0;
	f->napps = f->nmachines = 0;
	(void)store_view_each(f->apps, take_app, f);
	(void)store_view_each(f->desired, take_machine, f);
	qsort(f->app, f->napps, sizeof(*f->app), by_name);
	match_probes(f);
	publish(f);
	mark_dirty_checks(f);
	return 0;
}

static void on_changed(void *arg, const char *key, json_t *value)
{
	struct follow *f = arg;
	/* what this process wrote itself changes nothing */
	if (key && str_starts(key, f->observed_prefix) &&
	    str_starts(key + strlen(f->observed_prefix), "checks/"))
		return;
	f->synced = store_view_synced(f->apps) && store_view_synced(f->desired) &&
		    store_view_synced(f->observed);
	if (f->synced)
		wake(f->rebuild, SETTLE_MS);
}

static void on_status(void *arg, struct probe *p)
{
	struct follow *f = arg;
	for (size_t i = 0; i < f->nmachines; i++)
		if (streq(f->machine[i].r.route.id, p->machine)) {
			set_health(&f->machine[i]);
			f->machine[i].checks_dirty = true;
		}
	publish(f); /* at once: a sick machine gets no request more */
	wake(f->write, 1);
}

/* ---- observed/<host>/checks/<machine> ---- */

static json_t *checks_record(const struct machine *m)
{
	json_t *o = json_object(), *list = json_array();
	json_object_set_new(o, "v", json_integer(1));
	json_object_set_new(o, "instance_id", json_string(m->r.instance_id));
	json_object_set_new(o, "generation", json_integer(m->r.generation));
	for (size_t i = 0; i < m->r.nchecks; i++) {
		const struct probe *p = m->probe[i];
		char now[CLOCK_RFC3339_SIZE];
		clock_format_rfc3339(now, clock_wall_us());
		json_t *c = json_object();
		json_object_set_new(c, "name", json_string(m->r.check[i].name));
		json_object_set_new(c, "status",
		    json_string(check_status_name(p ? p->check.status : CHECK_WARNING)));
		json_object_set_new(
		    c, "output", json_string(p ? p->output : "the machine does not run"));
		json_object_set_new(c, "updated_at", json_string(p ? p->updated_at : now));
		json_array_append_new(list, c);
	}
	json_object_set_new(o, "checks", list);
	return o;
}

/* The same but for times: then nothing need be written. */
static bool says_the_same(const json_t *a, const json_t *b)
{
	static const char *const keys[] = { "instance_id", "generation" };
	json_t *x = json_object_get(a, "checks"), *y = json_object_get(b, "checks");
	for (size_t i = 0; i < countof(keys); i++)
		if (!json_equal(json_object_get(a, keys[i]), json_object_get(b, keys[i])))
			return false;
	if (json_array_size(x) != json_array_size(y))
		return false;
	for (size_t i = 0; i < json_array_size(x); i++)
		if (!json_equal(json_object_get(json_array_get(x, i), "name"),
			json_object_get(json_array_get(y, i), "name")) ||
		    !json_equal(json_object_get(json_array_get(x, i), "status"),
			json_object_get(json_array_get(y, i), "status")))
			return false;
	return true;
}

struct stale {
	struct follow *f;
	char key[8][160];
	size_t n;
};

static int find_stale(void *arg, const char *key, json_t *value, int64_t rev)
{
	struct stale *s = arg;
	const char *id = key + strlen(s->f->observed_prefix);
	char desired[160];
	if (!str_starts(id, "checks/"))
		return 0;
	snprintf(desired, sizeof(desired), "%s%s", s->f->desired_prefix, id + strlen("checks/"));
	if (!store_view_get(s->f->desired, desired, NULL))
		snprintf(s->key[s->n++], sizeof(s->key[0]), "%s", key);
	return s->n == countof(s->key);
}

static void mark_dirty_checks(struct follow *f)
{
	for (size_t i = 0; i < f->nmachines; i++) {
		struct machine *m = &f->machine[i];
		char key[160];
		snprintf(key, sizeof(key), "%schecks/%s", f->observed_prefix, m->r.route.id);
		cleanup_json json_t *now = checks_record(m);
		if (m->r.nchecks && m->r.instance_id[0] &&
		    !says_the_same(now, store_view_get(f->observed, key, NULL)))
			m->checks_dirty = true;
		if (m->checks_dirty)
			wake(f->write, 1);
	}
	struct stale stale = { .f = f };
	(void)store_view_each(f->observed, find_stale, &stale);
	if (stale.n)
		wake(f->write, 1);
}

static int on_write(sd_event_source *source, uint64_t usec, void *arg)
{
	struct follow *f = arg;
	struct err e;
	int r = 0;
	for (size_t i = 0; r >= 0 && i < f->nmachines; i++) {
		struct machine *m = &f->machine[i];
		if (!m->checks_dirty)
			continue;
		char key[160];
		snprintf(key, sizeof(key), "%schecks/%s", f->observed_prefix, m->r.route.id);
		cleanup_json json_t *o = checks_record(m);
		r = store_put(f->store, key, o, 0, &e);
		m->checks_dirty = r < 0;
	}
	struct stale stale = { .f = f };
	if (r >= 0)
		(void)store_view_each(f->observed, find_stale, &stale);
	for (size_t i = 0; r >= 0 && i < stale.n; i++)
		r = store_delete(f->store, stale.key[i], &e);
	if (r < 0 && !f->write_failing)
		log_err(&e, "the checks' status cannot be written, it is tried again");
	f->write_failing = r < 0;
	if (r < 0 || stale.n == countof(stale.key)) {
		(void)sd_event_source_set_time(
		    source, (clock_mono_ms() + (r < 0 ? WRITE_RETRY_MS : 10)) * 1000);
		(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	return 0;
}

/* ---- the last good table ---- */

static int on_save(sd_event_source *source, uint64_t usec, void *arg)
{
	struct follow *f = arg;
	struct err e;
	if (last_table_save(&f->w->args->places, f->w->args->host, buf_bytes(&f->table), &e) < 0)
		log_err(&e, "the route table is not kept on disk");
	return 0;
}

/* Until the store has told its first whole state, the table of before serves. */
static int on_last(sd_event_source *source, uint64_t usec, void *arg)
{
	struct follow *f = arg;
	struct buf b;
	struct err e;
	struct route_table t;
	if (f->synced || f->table.len)
		return 0;
	buf_init(&b, ROUTE_SIZE_MAX);
	int r = last_table_load(&f->w->args->places, f->w->args->host, &b, &e);
	if (r >= 0)
		r = route_table_open(b.data, b.len, &t, &e);
	if (r >= 0 && watcher_publish(f->w, buf_bytes(&b)) >= 0) {
		f->w->serial = t.head->serial;
		log_info("serving the last known table until the store is there");
	} else if (r < 0 && r != -ENOENT) {
		if (!f->complained)
			log_err(&e, "the last known table cannot be used yet");
		f->complained = true;
		(void)sd_event_source_set_time(source, usec + (uint64_t)LAST_RETRY_MS * 1000);
		(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	buf_done(&b);
	return 0;
}

/* ---- beginning ---- */

static int timer(struct follow *f, sd_event_source **ret, sd_event_time_handler_t fn)
{
	int r = sd_event_add_time(f->w->loop, ret, CLOCK_MONOTONIC, 0, 1000, fn, f);
	return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int watcher_store(struct watcher *w, struct err *e)
{
	struct follow *f = calloc(1, sizeof(*f));
	if (!f || !(f->machine = calloc(MACHINES_MAX, sizeof(*f->machine))) ||
	    !(f->app = calloc(APPS_MAX, sizeof(*f->app))))
		return err_set(e, ERR_NO_MEMORY, "no memory");
	f->w = w;
	buf_init(&f->table, ROUTE_SIZE_MAX);
	snprintf(f->desired_prefix, sizeof(f->desired_prefix), "desired/%s/", w->args->host);
	snprintf(f->observed_prefix, sizeof(f->observed_prefix), "observed/%s/", w->args->host);
	probes_init(&f->probes, w->loop, on_status, f);
	int r = timer(f, &f->rebuild, on_rebuild);
	if (r >= 0)
		r = timer(f, &f->save, on_save);
	if (r >= 0)
		r = timer(f, &f->write, on_write);
	if (r >= 0)
		r = timer(f, &f->last, on_last);
	if (r < 0)
		return err_sys(e, -r, "cannot set up timers");
	wake(f->last, 0);
	r = store_open_passed(&w->args->places, DAEMON_EDGE, &f->store, e);
	if (r >= 0)
		r = store_view_open(f->store, w->loop, "apps/", on_changed, f, &f->apps, e);
	if (r >= 0)
		r = store_view_open(
		    f->store, w->loop, f->desired_prefix, on_changed, f, &f->desired, e);
	if (r >= 0)
		r = store_view_open(
		    f->store, w->loop, f->observed_prefix, on_changed, f, &f->observed, e);
	return r;
}
