/* What this host tells: observed/ for each machine, hosts/, alive/ under a lease. */
#include "agent/agent.h"
#include "base/clock.h"
#include "base/str.h"
#include "core/machine_json.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
	FLUSH_US = 20 * 1000,
	TROUBLE_US = 1000 * 1000,
	BEAT_US = 4 * 1000 * 1000,
	LEASE_S = 15,
	REFRESH_BEATS = 30,
	HOST_BEATS = 10,
	DISK_STEP_MIB = 64, /* a smaller change is not worth telling */
	ORPHANS_MAX = 32,
};

static void flush_in(struct agent *a, uint64_t us)
{
	if (!a->flush)
		return;
	(void)sd_event_source_set_time_relative(a->flush, us);
	(void)sd_event_source_set_enabled(a->flush, SD_EVENT_ONESHOT);
}

void report_names(struct agent *a)
{
	a->names_dirty = true;
	flush_in(a, FLUSH_US);
}

static json_t *observed_of(const struct machine *m)
{
	const struct desired *d = m->has_desired ? &m->desired : m->has_copy ? &m->copy : NULL;
	return machine_observed_format(&m->r, d ? d->app : "", m->monitor_pid, m->guest_boot);
}

void report_machine(struct machine *m)
{
	/* Nothing is told of a machine that nobody knows. */
	if (!m->r.launched)
		return;
	cleanup_json json_t *j = observed_of(m);
	cleanup_free char *text = j ? json_format(j) : NULL;
	if (!text || (m->observed_text && streq(text, m->observed_text)))
		return;
	m->observed_dirty = true;
	flush_in(m->agent, FLUSH_US);
}

void report_forget(struct machine *m)
{
	char key[160];
	struct err e;
	snprintf(key, sizeof(key), "observed/%s/%s", m->agent->host, m->id);
	if (store_delete(m->agent->store, key, &e) < 0)
		log_err(&e, "%s stays", key);
}

static int write_observed(struct machine *m, struct err *e)
{
	struct agent *a = m->agent;
	char key[160], at[CLOCK_RFC3339_SIZE];
	cleanup_json json_t *j = observed_of(m);
	cleanup_free char *text = j ? json_format(j) : NULL;
	if (!text)
		return err_set(e, ERR_NO_MEMORY, "no memory for observed");
	clock_format_rfc3339(at, clock_wall_us());
	json_object_set_new(j, "updated_at", json_string(at));
	snprintf(key, sizeof(key), "observed/%s/%s", a->host, m->id);
	int r = store_put(a->store, key, j, 0, e);
	if (r < 0)
		return r;
	free(m->observed_text);
	m->observed_text = steal_ptr(&text);
	m->observed_dirty = false;
	return 0;
}

static int on_flush(sd_event_source *s, uint64_t usec, void *arg)
{
	struct agent *a = arg;
	static bool told;
	if (a->names_dirty) {
		a->names_dirty = false;
		names_write(a);
		if (a->names_failed) { /* telemetry keeps no line of a machine it does not know */
			a->names_dirty = true;
			flush_in(a, TROUBLE_US);
		}
	}
	for (struct machine *m = a->machines; m; m = m->next) {
		struct err e;
		if (!m->observed_dirty)
			continue;
		if (write_observed(m, &e) < 0) {
			if (!told)
				log_err(&e, "cannot tell the store; trying on");
			told = true;
			flush_in(a, TROUBLE_US);
			return 0;
		}
		told = false;
	}
	return 0;
}

/* What machines' scratch disks have taken already: control counts them in full against the disk. */
static uint64_t scratch_bytes(const struct agent *a)
{
	uint64_t n = 0;
	for (const struct machine *m = a->machines; m; m = m->next) {
		char path[MACHINE_ID_LEN + 32];
		struct stat st;
		snprintf(path, sizeof(path), "%s/scratch.img", m->id);
		if (fstatat(a->machines_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
			n += (uint64_t)st.st_blocks * 512;
	}
	return n;
}

/* All that machines may have: what is free and what they hold. */
static uint64_t disk_mib(const struct agent *a)
{
	/* the machines' folder: what is above it in the agent's own view is not the host's disk */
	char path[sizeof(a->places.lib) + sizeof("/machines")];
	struct statvfs vfs;
	snprintf(path, sizeof(path), "%s/machines", a->places.lib);
	if (statvfs(path, &vfs) < 0)
		return 0;
	return ((uint64_t)vfs.f_bavail * vfs.f_frsize + scratch_bytes(a)) >> 20;
}

static int write_host(struct agent *a, struct err *e)
{
	static uint64_t told_mib;
	uint64_t mib = disk_mib(a);
	uint64_t apart = mib > told_mib ? mib - told_mib : told_mib - mib;
	if (a->host_written && apart < DISK_STEP_MIB)
		return 0;
	/* The KVM engine is a later issue: where emulation is not allowed, nothing can run here. */
	const char *engine = a->engine == WARDD_ENGINE_EMULATED ? "emulated" : "none";
	struct host h = {
		.id = a->host_id, .cpus = a->cpus, .memory_mib = a->memory_mib, .disk_mib = mib
	};
	char key[160], at[CLOCK_RFC3339_SIZE];
	str_copy(h.name, sizeof(h.name), a->host);
	str_copy(h.region, sizeof(h.region), a->region);
	clock_format_rfc3339(at, clock_wall_us());
	snprintf(key, sizeof(key), "hosts/%s", a->host);
	cleanup_json json_t *j = host_format(&h, engine, at);
	int r = j ? store_put(a->store, key, j, 0, e)
		  : err_set(e, ERR_NO_MEMORY, "no memory for the host");
	if (r == 0) {
		a->host_written = true;
		told_mib = mib;
	}
	return r;
}

static int write_alive(struct agent *a, struct err *e)
{
	int64_t ttl = 0;
	int r = a->lease ? store_lease_keep(a->store, a->lease, &ttl, e) : 0;
	if (r < 0)
		return r;
	if (ttl > 0)
		return 0;
	a->lease = 0;
	int64_t lease = 0;
	if ((r = store_lease_grant(a->store, LEASE_S, &lease, e)) < 0)
		return r;
	char key[160], at[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(at, clock_wall_us());
	snprintf(key, sizeof(key), "alive/%s", a->host);
	cleanup_json json_t *j = json_pack("{s:i,s:s}", "v", 1, "since", at);
	if ((r = store_put(a->store, key, j, lease, e)) == 0)
		a->lease = lease;
	return r;
}

/* ---- records of machines that are not here any more ---- */

struct orphans {
	struct agent *agent;
	char id[ORPHANS_MAX][MACHINE_ID_LEN + 1];
	size_t n;
};

static int collect_orphan(void *arg, const char *key, json_t *value, int64_t rev, struct err *e)
{
	struct orphans *o = arg;
	const char *id = key + strlen("observed/") + strlen(o->agent->host) + 1;
	if (id_is_machine(id) && !machine_find(o->agent, id))
		str_copy(o->id[o->n++], sizeof(o->id[0]), id);
	return o->n == ORPHANS_MAX;
}

/* We may have died, or the store have been away, between a machine's end and its record's. Of what
 * is still wanted here there is a machine: `desired/` makes one. */
static void drop_orphans(struct agent *a)
{
	struct orphans o = { .agent = a };
	char prefix[NAME_MAX_LEN + 16], key[160];
	struct err e;
	snprintf(prefix, sizeof(prefix), "observed/%s/", a->host);
	int r = store_list(a->store, prefix, collect_orphan, &o, NULL, &e);
	for (size_t i = 0; r >= 0 && i < o.n; i++) {
		snprintf(key, sizeof(key), "observed/%s/%s", a->host, o.id[i]);
		r = store_delete(a->store, key, &e);
	}
	if (r < 0)
		log_err(&e, "records of machines that are gone stay a while");
}

static int on_beat(sd_event_source *s, uint64_t usec, void *arg)
{
	struct agent *a = arg;
	struct err e;
	static bool told;
	int r = a->host_written && a->beats % HOST_BEATS ? 0 : write_host(a, &e);
	if (r == 0)
		r = write_alive(a, &e);
	if (r < 0 && !told)
		log_err(&e, "cannot say that this host lives; trying on");
	told = r < 0;
	trust_update(a);
	if (!a->taps_known)
		taps_list(a);
	if (a->trusted && a->beats % REFRESH_BEATS == 1)
		drop_orphans(a);
	if (++a->beats % REFRESH_BEATS == 0)
		cages_refresh(a);
	/* A refusal may be of a store that has just begun: try sooner. */
	return sd_event_source_set_time_relative(s, r < 0 ? TROUBLE_US : BEAT_US) < 0 ||
	       sd_event_source_set_enabled(s, SD_EVENT_ONESHOT) < 0;
}

void report_start(struct agent *a)
{
	if (sd_event_add_time_relative(a->loop, &a->flush, CLOCK_MONOTONIC, 0, 0, on_flush, a) <
		0 ||
	    sd_event_add_time_relative(a->loop, &a->beat, CLOCK_MONOTONIC, 0, 0, on_beat, a) < 0)
		log_error("cannot add a timer");
}

void report_stop(struct agent *a)
{
	a->flush = sd_event_source_disable_unref(a->flush);
	a->beat = sd_event_source_disable_unref(a->beat);
}
