/* Follows the store: each change of an app, a machine or a check's status makes the table anew from
 * all that is known, by core/routes. With the store away, what was known last goes on, and checks
 * go on changing it. */
#include "edge/watch_store.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "core/records.h"
#include "edge/last_table.h"
#include "store/passed.h"

enum {
	SETTLE_MS = 5,
	SAVE_AFTER_MS = 1000,
	LAST_RETRY_MS = 2000,
	MACHINES_MAX = 4096,
	APPS_MAX = 16384
};

void follow_wake(sd_event_source *s, uint64_t in_ms)
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
				    checks_known(f, m, m->r.check[i].name));
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
			follow_wake(f->save, SAVE_AFTER_MS);
	}
	routes_done(&r);
	free(list);
	buf_done(&b);
}

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
	checks_compare(f);
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
		follow_wake(f->rebuild, SETTLE_MS);
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
	follow_wake(f->write, 1);
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
		r = timer(f, &f->write, checks_write);
	if (r >= 0)
		r = timer(f, &f->last, on_last);
	if (r < 0)
		return err_sys(e, -r, "cannot set up timers");
	follow_wake(f->last, 0);
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
