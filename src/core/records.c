#include "core/records.h"
#include "base/str.h"

static const char *const state_names[] = { "created", "starting", "started", "stopping", "stopped",
	"restarting", "updating", "failed", "destroying", "destroyed" };
_Static_assert(countof(state_names) == MACHINE_STATE_MAX, "a name for each state");

const char *machine_state_name(enum machine_state s)
{
	return state_names[s];
}

bool machine_state_find(const char *name, enum machine_state *ret)
{
	for (size_t i = 0; i < countof(state_names); i++)
		if (streq(name, state_names[i])) {
			*ret = (enum machine_state)i;
			return true;
		}
	return false;
}

int record_check_version(const json_t *j, const char *what, struct err *e)
{
	if (!json_is_object(j))
		return err_set(e, ERR_INVALID, "%s is not an object", what);
	int64_t v = 0;
	int r = json_need_int(j, what, "v", 1, INT64_MAX, &v, e);
	if (r < 0)
		return r;
	if (v != RECORD_VERSION)
		return err_set(e, ERR_INVALID, "%s has version %lld; this Ward knows version %d",
		    what, (long long)v, RECORD_VERSION);
	return 0;
}

int record_opt_text(const json_t *j, const char *key, char *dst, size_t size, struct err *e)
{
	const char *s = NULL;
	int r = json_opt_str(j, "", key, &s, e);
	if (r < 0)
		return r;
	if (s && !str_copy(dst, size, s))
		return err_set(e, ERR_INVALID, "%s is longer than %zu bytes", key, size - 1);
	return 0;
}

int record_need_text(const json_t *j, const char *key, char *dst, size_t size, struct err *e)
{
	dst[0] = 0;
	int r = record_opt_text(j, key, dst, size, e);
	if (r == 0 && !dst[0])
		return err_set(e, ERR_INVALID, "%s must be given", key);
	return r;
}

static int read_exit(const json_t *o, struct machine_exit *ret, struct err *e)
{
	int64_t code = -1, signal = 0, at = 0;
	int r = 0;
	if ((r = json_opt_int(o, "exit", "code", -1, 255, &code, e)) < 0 ||
	    (r = json_opt_int(o, "exit", "signal", 0, 128, &signal, e)) < 0 ||
	    (r = json_opt_int(o, "exit", "at", 0, INT64_MAX, &at, e)) < 0 ||
	    (r = json_opt_bool(o, "exit", "oom", &ret->oom, e)) < 0 ||
	    (r = json_opt_bool(o, "exit", "requested_stop", &ret->requested_stop, e)) < 0)
		return r;
	ret->code = (int32_t)code;
	ret->signal = (int32_t)signal;
	ret->at_ms = (uint64_t)at;
	return 0;
}

json_t *machine_exit_format(const struct machine_exit *x, bool restarting)
{
	char at[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(at, x->at_ms * 1000);
	return json_pack("{s:i,s:i,s:i,s:b,s:b,s:b,s:i,s:s}", "exit_code", x->code,
	    "guest_exit_code", x->code, "guest_signal", x->signal, "oom_killed", x->oom,
	    "requested_stop", x->requested_stop, "restarting", restarting, "signal", x->signal,
	    "exited_at", at);
}

int observed_parse(const json_t *j, struct observed *ret, struct err *e)
{
	struct observed o = { 0 };
	char state[24], updated[CLOCK_RFC3339_SIZE] = "";
	int64_t started = 0;
	json_t *x = NULL;
	int r = 0;
	if ((r = record_check_version(j, "observed machine", e)) < 0 ||
	    (r = record_need_text(j, "id", o.id, sizeof(o.id), e)) < 0 ||
	    (r = record_need_text(j, "state", state, sizeof(state), e)) < 0 ||
	    (r = record_opt_text(j, "instance_id", o.instance_id, sizeof(o.instance_id), e)) < 0 ||
	    (r = record_opt_text(
		 j, "failed_instance", o.failed_instance, sizeof(o.failed_instance), e)) < 0 ||
	    (r = record_opt_text(j, "reason", o.reason, sizeof(o.reason), e)) < 0 ||
	    (r = record_opt_text(j, "updated_at", updated, sizeof(updated), e)) < 0 ||
	    (r = json_opt_int(j, "", "generation", 0, UINT32_MAX, &o.generation, e)) < 0 ||
	    (r = json_opt_int(j, "", "restarts", 0, INT64_MAX, &o.restarts, e)) < 0 ||
	    (r = json_opt_int(j, "", "started_at", 0, INT64_MAX, &started, e)) < 0 ||
	    (r = json_opt_object(j, "", "exit", &x, e)) < 0)
		return r;
	if (!machine_state_find(state, &o.state))
		return err_set(e, ERR_INVALID, "%s is not a machine's state", state);
	if (x) {
		o.has_exit = true;
		if ((r = read_exit(x, &o.exit, e)) < 0)
			return r;
	}
	uint64_t us = 0;
	if (updated[0] && clock_parse_rfc3339(updated, &us) < 0)
		return err_set(e, ERR_INVALID, "updated_at is not an RFC 3339 time");
	o.started_at_ms = (uint64_t)started;
	o.updated_at_ms = us / 1000;
	*ret = o;
	return 0;
}

int checks_parse(const json_t *j, struct checks *ret, struct err *e)
{
	struct checks c = { 0 };
	json_t *list = NULL;
	int r = 0;
	if ((r = record_check_version(j, "checks", e)) < 0 ||
	    (r = record_opt_text(j, "instance_id", c.instance_id, sizeof(c.instance_id), e)) < 0 ||
	    (r = json_opt_int(j, "", "generation", 0, UINT32_MAX, &c.generation, e)) < 0 ||
	    (r = json_opt_array(j, "", "checks", &list, e)) < 0)
		return r;
	size_t i;
	json_t *o;
	json_array_foreach (list, i, o) {
		const char *status = "", *name = "", *output = "";
		if ((r = json_need_str(o, "checks", "status", &status, e)) < 0 ||
		    (r = json_opt_str(o, "checks", "name", &name, e)) < 0 ||
		    (r = json_opt_str(o, "checks", "output", &output, e)) < 0)
			return r;
		c.total++;
		if (streq(status, "passing"))
			c.passing++;
		else if (!c.worst[0])
			snprintf(c.worst, sizeof(c.worst), "%.60s: %.120s", name, output);
		if (streq(status, "critical"))
			c.critical++;
	}
	*ret = c;
	return 0;
}

int host_parse(const json_t *j, struct host *ret, struct err *e)
{
	struct host h = { 0 };
	int64_t id = 0, cpus = 0, memory = 0, disk = 0;
	const char *engine = NULL;
	int r = 0;
	if ((r = record_check_version(j, "host", e)) < 0 ||
	    (r = json_need_str(j, "host", "engine", &engine, e)) < 0 ||
	    (r = record_need_text(j, "name", h.name, sizeof(h.name), e)) < 0 ||
	    (r = record_need_text(j, "region", h.region, sizeof(h.region), e)) < 0 ||
	    (r = json_need_int(j, "host", "id", 0, UINT32_MAX, &id, e)) < 0 ||
	    (r = json_need_int(j, "host", "cpus", 1, 4096, &cpus, e)) < 0 ||
	    (r = json_need_int(j, "host", "memory_mib", 1, INT64_MAX, &memory, e)) < 0 ||
	    (r = json_need_int(j, "host", "disk_mib", 0, INT64_MAX, &disk, e)) < 0)
		return r;
	h.id = (uint32_t)id;
	h.cpus = (uint32_t)cpus;
	h.memory_mib = (uint64_t)memory;
	h.disk_mib = (uint64_t)disk;
	h.runs_machines = !streq(engine, "none");
	*ret = h;
	return 0;
}

json_t *host_format(const struct host *h, const char *engine, const char *updated_at)
{
	return json_pack("{s:i,s:s,s:s,s:I,s:I,s:I,s:I,s:s,s:s}", "v", RECORD_VERSION, "name",
	    h->name, "region", h->region, "id", (json_int_t)h->id, "cpus", (json_int_t)h->cpus,
	    "memory_mib", (json_int_t)h->memory_mib, "disk_mib", (json_int_t)h->disk_mib, "engine",
	    engine, "updated_at", updated_at);
}

static const char *const app_status_names[] = { "pending", "deployed", "deleting" };

int app_parse(const json_t *j, struct app *ret, struct err *e)
{
	struct app a = { 0 };
	char status[16];
	int64_t network_id = 0;
	int r = 0;
	if ((r = record_check_version(j, "app", e)) < 0 ||
	    (r = record_need_text(j, "id", a.id, sizeof(a.id), e)) < 0 ||
	    (r = record_need_text(j, "name", a.name, sizeof(a.name), e)) < 0 ||
	    (r = record_need_text(j, "org", a.org, sizeof(a.org), e)) < 0 ||
	    (r = record_opt_text(j, "network", a.network, sizeof(a.network), e)) < 0 ||
	    (r = record_need_text(j, "status", status, sizeof(status), e)) < 0 ||
	    (r = record_opt_text(j, "deploy", a.deploy, sizeof(a.deploy), e)) < 0 ||
	    (r = record_opt_text(j, "created_at", a.created_at, sizeof(a.created_at), e)) < 0 ||
	    (r = json_need_int(j, "app", "network_id", 1, UINT32_MAX, &network_id, e)) < 0 ||
	    (r = json_opt_int(j, "app", "release", 0, 99999999, &a.release, e)) < 0)
		return r;
	size_t i = 0;
	while (i < countof(app_status_names) && !streq(status, app_status_names[i]))
		i++;
	if (i == countof(app_status_names))
		return err_set(e, ERR_INVALID, "%s is not an app's status", status);
	a.status = (enum app_status)i;
	a.network_id = (uint32_t)network_id;
	*ret = a;
	return 0;
}

json_t *app_format(const struct app *a)
{
	return json_pack("{s:i,s:s,s:s,s:s,s:s,s:I,s:s,s:I,s:s,s:s}", "v", RECORD_VERSION, "id",
	    a->id, "name", a->name, "org", a->org, "network", a->network, "network_id",
	    (json_int_t)a->network_id, "status", app_status_names[a->status], "release",
	    (json_int_t)a->release, "deploy", a->deploy, "created_at", a->created_at);
}
