#include "api/state.h"
#include "base/str.h"

static const char *const prefixes[VIEW_MAX] = {
	[VIEW_APPS] = "apps/",
	[VIEW_NAMES] = "names/",
	[VIEW_DESIRED] = "desired/",
	[VIEW_OBSERVED] = "observed/",
	[VIEW_HOSTS] = "hosts/",
	[VIEW_ALIVE] = "alive/",
	[VIEW_LOCKS] = "locks/",
	[VIEW_OUTCOMES] = "outcomes/",
	[VIEW_REQUESTS] = "requests/",
};

int state_open(struct state *s, struct store *store, sd_event *loop, store_changed_fn changed,
    void *arg, struct err *e)
{
	*s = (struct state){ .store = store };
	for (int v = 0; v < VIEW_MAX; v++) {
		int r = store_view_open(store, loop, prefixes[v], changed, arg, &s->view[v], e);
		if (r < 0) {
			state_close(s);
			return err_prefix(e, r, "the view of %s", prefixes[v]);
		}
	}
	return 0;
}

void state_close(struct state *s)
{
	for (int v = 0; v < VIEW_MAX; v++) {
		if (s->view[v])
			store_view_close(s->view[v]);
		s->view[v] = NULL;
	}
}

bool state_synced(const struct state *s)
{
	for (int v = 0; v < VIEW_MAX; v++)
		if (!store_view_synced(s->view[v]))
			return false;
	return true;
}

bool state_connected(const struct state *s)
{
	for (int v = 0; v < VIEW_MAX; v++)
		if (!store_view_connected(s->view[v]))
			return false;
	return true;
}

json_t *state_get(const struct state *s, enum state_view v, const char *fmt, ...)
{
	char key[256];
	int n = snprintf(key, sizeof(key), "%s", prefixes[v]);
	va_list ap;
	va_start(ap, fmt);
	int m = vsnprintf(key + n, sizeof(key) - (size_t)n, fmt, ap);
	va_end(ap);
	if (m < 0 || (size_t)n + (size_t)m >= sizeof(key))
		return NULL;
	return store_view_get(s->view[v], key, NULL);
}

const char *state_text(const json_t *record, const char *key)
{
	const char *text = json_string_value(json_object_get(record, key));
	return text ? text : "";
}

json_t *state_app(const struct state *s, const char *name)
{
	json_t *link = state_get(s, VIEW_NAMES, "%s", name);
	if (!link)
		return NULL;
	json_t *app = state_get(s, VIEW_APPS, "%s/app", state_text(link, "id"));
	return app && !streq(state_text(app, "status"), "deleting") ? app : NULL;
}

/* ---- machines ---- */

/* desired/<host>/<machine> */
static bool fill_ref(
    const struct state *s, const char *key, json_t *desired, struct machine_ref *ret)
{
	if (!str_copy(ret->key, sizeof(ret->key), key + strlen(prefixes[VIEW_DESIRED])))
		return false;
	char *slash = strchr(ret->key, '/');
	if (!slash)
		return false;
	*slash = 0;
	const char *machine = slash + 1;
	ret->host = ret->key;
	ret->desired = desired;
	ret->observed = state_get(s, VIEW_OBSERVED, "%s/%s", ret->host, machine);
	ret->checks = state_get(s, VIEW_OBSERVED, "%s/checks/%s", ret->host, machine);
	ret->alive = state_get(s, VIEW_ALIVE, "%s", ret->host) != NULL;
	return true;
}

struct each {
	const struct state *s;
	const char *app_id, *machine;
	int (*fn)(void *arg, const struct machine_ref *m);
	void *arg;
};

static int each_desired(void *arg, const char *key, json_t *value, int64_t rev)
{
	struct each *each = arg;
	struct machine_ref m;
	if (each->app_id && !streq(state_text(value, "app"), each->app_id))
		return 0;
	if (each->machine && !streq(state_text(value, "id"), each->machine))
		return 0;
	return fill_ref(each->s, key, value, &m) ? each->fn(each->arg, &m) : 0;
}

int state_each_machine(const struct state *s, const char *app_id,
    int (*fn)(void *arg, const struct machine_ref *m), void *arg)
{
	struct each each = { .s = s, .app_id = app_id, .fn = fn, .arg = arg };
	return store_view_each(s->view[VIEW_DESIRED], each_desired, &each);
}

static int take_ref(void *arg, const struct machine_ref *m)
{
	struct machine_ref *ret = arg;
	*ret = *m;
	ret->host = ret->key;
	return 1;
}

bool state_machine(const struct state *s, const char *machine, struct machine_ref *ret)
{
	struct each each = { .s = s, .machine = machine, .fn = take_ref, .arg = ret };
	return store_view_each(s->view[VIEW_DESIRED], each_desired, &each) == 1;
}

/* ---- any keys ---- */

struct below {
	char prefix[256];
	int (*fn)(void *arg, const char *rest, json_t *value);
	void *arg;
};

static int each_below(void *arg, const char *key, json_t *value, int64_t rev)
{
	struct below *b = arg;
	return str_starts(key, b->prefix) ? b->fn(b->arg, key + strlen(b->prefix), value) : 0;
}

int state_each(const struct state *s, enum state_view v, const char *prefix,
    int (*fn)(void *arg, const char *rest, json_t *value), void *arg)
{
	struct below b = { .fn = fn, .arg = arg };
	if ((size_t)snprintf(b.prefix, sizeof(b.prefix), "%s%s", prefixes[v], prefix) >=
	    sizeof(b.prefix))
		return 0;
	return store_view_each(s->view[v], each_below, &b);
}
