/* The table of names for ward-dns: this host's machines, written whole when it has changed. */
#include "agent/agent.h"
#include "base/file.h"
#include "base/str.h"
#include "proto/names_table.h"
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

void names_write(struct agent *a)
{
	size_t n = 0, all = 0;
	struct err e;
	for (const struct machine *m = a->machines; m; m = m->next)
		all++;
	cleanup_free struct name_record *records = calloc(all + 1, sizeof(*records));
	if (!records)
		return;
	for (const struct machine *m = a->machines; m && n < NAMES_RECORDS_MAX; m = m->next)
		n += record_of(m, &records[n]);
	qsort(records, n, sizeof(*records), by_place);
	cleanup_free char *text = names_table_format(records, n);
	if (!text || (a->names_text && streq(text, a->names_text)))
		return;
	cleanup_close int dir = openat(AT_FDCWD, a->names_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || file_write(dir, "table.json", text, strlen(text), 0644, &e) < 0) {
		if (!a->names_failed)
			log_error("cannot write the table of names in %s", a->names_dir);
		a->names_failed = true;
		return;
	}
	a->names_failed = false;
	free(a->names_text);
	a->names_text = steal_ptr(&text);
}
