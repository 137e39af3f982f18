#include "core/routes.h"
#include "base/str.h"

enum routes_verdict routes_judge(const struct routes_machine *m, bool tls, size_t *ret_service)
{
	size_t i = 0;
	while (i < m->nservices && !(tls ? m->service[i].tls : m->service[i].plain))
		i++;
	if (i == m->nservices)
		return ROUTES_NO_SERVICE;
	*ret_service = i;
	static const uint8_t unknown[4];
	if (!m->wanted || !m->started || !memcmp(m->ipv4, unknown, 4))
		return ROUTES_RESTS;
	return m->service[i].health == ROUTES_NOT_PASSING ? ROUTES_UNHEALTHY : ROUTES_SERVES;
}

static void add_machine(
    struct routes *r, struct routes_side *side, const struct routes_machine *m, bool tls)
{
	size_t i;
	enum routes_verdict v = routes_judge(m, tls, &i);
	if (v == ROUTES_NO_SERVICE)
		return;
	side->present = true;
	side->force_https |= m->service[i].force_https;
	if (!side->app_port)
		side->app_port = m->service[i].internal_port;
	side->unhealthy += v == ROUTES_UNHEALTHY;
	side->resting += v == ROUTES_RESTS;
	if (v != ROUTES_SERVES)
		return;
	r->backend[r->nbackends++] = (struct routes_backend){ m, &m->service[i] };
	side->count++;
}

static void fill_side(
    struct routes *r, struct routes_side *side, const struct routes_machine *m, size_t n, bool tls)
{
	side->first = (uint32_t)r->nbackends;
	for (size_t i = 0; i < n; i++)
		add_machine(r, side, &m[i], tls);
}

static bool is_reserved(const char *name, const char *const *reserved)
{
	for (; *reserved; reserved++)
		if (streq(name, *reserved))
			return true;
	return false;
}

/* The machines of an app lie together; where they begin is found by halving. */
static size_t first_of(const struct routes_machine *m, size_t n, const char *app)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (strcmp(m[mid].app, app) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int routes_plan(const struct routes_app *apps, size_t napps, const struct routes_machine *machines,
    size_t nmachines, const char *const *reserved, struct routes *ret, struct err *e)
{
	struct routes r = { 0 };
	r.entry = calloc(napps + 1, sizeof(*r.entry));
	r.backend = calloc(nmachines * 2 + 1, sizeof(*r.backend));
	if (!r.entry || !r.backend) {
		routes_done(&r);
		return err_set(
		    e, ERR_NO_MEMORY, "no memory for the routes of %zu machines", nmachines);
	}
	for (size_t i = 0; i < napps; i++) {
		/* a name means one app; when records disagree, the one that came first in order
		 * keeps it */
		if ((i && streq(apps[i - 1].name, apps[i].name)) ||
		    is_reserved(apps[i].name, reserved)) {
			r.refused++;
			continue;
		}
		size_t from = first_of(machines, nmachines, apps[i].id), n = 0;
		while (from + n < nmachines && streq(machines[from + n].app, apps[i].id))
			n++;
		struct routes_entry *x = &r.entry[r.count++];
		x->app = &apps[i];
		fill_side(&r, &x->plain, machines + from, n, false);
		fill_side(&r, &x->tls, machines + from, n, true);
	}
	*ret = r;
	return 0;
}

void routes_done(struct routes *r)
{
	free(r->entry);
	free(r->backend);
	*r = (struct routes){ 0 };
}
