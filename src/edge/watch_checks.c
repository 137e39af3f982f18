/* observed/<host>/checks/<machine>: what the probes found, written when it says something new; a
 * run's record belongs to that run alone, by its instance and generation. */
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "edge/watch_store.h"

enum { WRITE_RETRY_MS = 2000 };

enum check_status checks_known(const struct follow *f, const struct machine *m, const char *check)
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

void checks_compare(struct follow *f)
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
			follow_wake(f->write, 1);
	}
	struct stale stale = { .f = f };
	(void)store_view_each(f->observed, find_stale, &stale);
	if (stale.n)
		follow_wake(f->write, 1);
}

int checks_write(sd_event_source *source, uint64_t usec, void *arg)
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
