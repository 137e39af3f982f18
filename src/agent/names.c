/* Two tables about this host's machines, each written whole when it has changed: their names, for
 * ward-dns, and whose they are, for ward-telemetry. */
#include "agent/agent.h"
#include "base/file.h"
#include "base/str.h"
#include "proto/names_table.h"
#include "proto/owners.h"
#include <arpa/inet.h>
#include <fcntl.h>

static bool record_of(const struct machine *m, struct name_record *ret)
{
	const struct desired *d = m->has_desired ? &m->desired : m->has_copy ? &m->copy : NULL;
	struct name_record n = { 0 };
	if (!d || d->want == WANT_DESTROYED || !m->r.net.ipv6[0] ||
	    inet_pton(AF_INET6, m->r.net.ipv6, &n.ip6) != 1)
		return false;
	bool skip =
	    json_is_true(json_object_get(json_object_get(d->config, "dns"), "skip_registration"));
	if (skip)
		return false;
	n.network = d->network;
	n.started = m->r.state == MACHINE_STARTED && !d->cordoned;
	str_copy(n.app, sizeof(n.app), d->app_name);
	str_copy(n.region, sizeof(n.region), d->region);
	str_copy(n.group, sizeof(n.group), d->group);
	str_copy(n.machine, sizeof(n.machine), m->id);
	*ret = n;
	return true;
}

static int by_place(const void *a, const void *b)
{
	const struct name_record *x = a, *y = b;
	if (x->network != y->network)
		return x->network < y->network ? -1 : 1;
	int r = strcmp(x->app, y->app);
	return r ? r : strcmp(x->machine, y->machine);
}

static char *names_text(const struct agent *a)
{
	size_t n = 0, all = 0;
	for (const struct machine *m = a->machines; m; m = m->next)
		all++;
	cleanup_free struct name_record *records = calloc(all + 1, sizeof(*records));
	if (!records)
		return NULL;
	for (const struct machine *m = a->machines; m && n < NAMES_RECORDS_MAX; m = m->next)
		n += record_of(m, &records[n]);
	qsort(records, n, sizeof(*records), by_place);
	return names_table_format(records, n);
}

/* A machine is in it until nothing of it is left: its last lines are its app's too. */
static char *owners_text(const struct agent *a)
{
	cleanup_json json_t *table = owners_new();
	for (const struct machine *m = a->machines; m && table; m = m->next) {
		const struct desired *d = m->has_desired ? &m->desired : &m->copy;
		struct owner o = { 0 };
		if (!m->has_desired && !m->has_copy)
			continue;
		str_copy(o.machine, sizeof(o.machine), m->id);
		if (str_copy(o.app, sizeof(o.app), d->app_name) &&
		    str_copy(o.app_id, sizeof(o.app_id), d->app) &&
		    str_copy(o.region, sizeof(o.region), d->region) && owners_add(table, &o) < 0)
			return NULL;
	}
	return table ? json_format(table) : NULL;
}

static bool write_changed(
    struct agent *a, const char *file, char *text /* taken */, char **last /* as written */)
{
	cleanup_free char *new = text;
	struct err e;
	if (!new || (*last && streq(new, *last)))
		return true;
	cleanup_close int dir = openat(AT_FDCWD, a->names_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || file_write(dir, file, new, strlen(new), 0644, &e) < 0) {
		if (!a->names_failed)
			log_error("cannot write %s in %s", file, a->names_dir);
		return false;
	}
	free(*last);
	*last = steal_ptr(&new);
	return true;
}

void names_write(struct agent *a)
{
	bool names = write_changed(a, "table.json", names_text(a), &a->names_text);
	bool owners = write_changed(a, "owners.json", owners_text(a), &a->owners_text);
	a->names_failed = !names || !owners;
}
