#include "core/machine_json.h"
#include "base/str.h"

/* ---- the flat members: one table for both directions ---- */

enum kind { TEXT, U32, U64, I64, BOOL };
static const struct member {
	const char *name;
	enum kind kind;
	size_t at, size;
} members[] = {
#define M(kind, field)                                                                             \
	{                                                                                          \
#field, kind, offsetof(struct machine_record, field),                              \
		    sizeof(((struct machine_record *)0)->field)                                    \
	}
	M(TEXT, id),
	M(TEXT, boot_id),
	M(U32, slot),
	M(U32, generation),
	M(BOOL, running),
	M(BOOL, launched),
	M(TEXT, instance_id),
	M(I64, version),
	M(I64, start_seq),
	M(I64, restart_seq),
	M(BOOL, ended),
	M(BOOL, ended_badly),
	M(BOOL, auto_gone),
	M(TEXT, image_instance),
	M(TEXT, digest),
	M(TEXT, root),
	M(TEXT, failed_instance),
	M(U32, scratch_generation),
	M(TEXT, net.ipv6),
	M(TEXT, net.ipv6_gateway),
	M(TEXT, net.ipv4),
	M(TEXT, net.ipv4_gateway),
	M(TEXT, net.dns),
	M(TEXT, net.mac),
	M(U64, since_ms),
	M(U64, started_ms),
	M(U64, started_wall_ms),
	M(U64, lost_ms),
	M(U64, exited_ms),
	M(U64, stop_asked_ms),
	M(U64, stop_by_ms),
	M(BOOL, stop_told),
	M(BOOL, killed),
	M(BOOL, killed_late),
	M(U64, link_ms),
	M(U64, ended_ms),
	M(U64, next_start_ms),
	M(U64, retry_ms),
	M(U32, tries),
	M(U32, restarts),
	M(U32, restart.failures),
	M(BOOL, has_exit),
	M(TEXT, reason),
#undef M
};

static json_t *member_format(const struct machine_record *r, const struct member *m)
{
	const char *p = (const char *)r + m->at;
	switch (m->kind) {
	case TEXT: return json_string(p);
	case U32: {
		uint32_t v;
		memcpy(&v, p, sizeof(v));
		return json_integer(v);
	}
	case U64:
	case I64: {
		int64_t v;
		memcpy(&v, p, sizeof(v));
		return json_integer(v);
	}
	case BOOL: return json_boolean(*(const bool *)p);
	}
	return NULL;
}

static int member_parse(
    const json_t *j, struct machine_record *r, const struct member *m, struct err *e)
{
	char *p = (char *)r + m->at;
	int64_t v = 0;
	switch (m->kind) {
	case TEXT: return record_opt_text(j, m->name, p, m->size, e);
	case BOOL: return json_opt_bool(j, "", m->name, (bool *)p, e);
	case U32: {
		int n = json_opt_int(j, "", m->name, 0, UINT32_MAX, &v, e);
		uint32_t u = (uint32_t)v;
		memcpy(p, &u, sizeof(u));
		return n;
	}
	case U64:
	case I64: {
		int n = json_opt_int(j, "", m->name, 0, INT64_MAX, &v, e);
		memcpy(p, &v, sizeof(v));
		return n;
	}
	}
	return -EINVAL;
}

/* ---- exits and events ---- */

static json_t *exit_format(const struct machine_exit *x)
{
	return json_pack("{s:i,s:i,s:b,s:b,s:I}", "code", x->code, "signal", x->signal, "oom",
	    x->oom, "requested_stop", x->requested_stop, "at", (json_int_t)x->at_ms);
}

static int exit_parse(const json_t *o, struct machine_exit *ret, struct err *e)
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

/* As the Machines API shows them, so that the API passes them on as they are. */
static json_t *event_format(const struct machine_event *ev)
{
	json_t *j = json_pack("{s:s,s:s,s:s,s:s,s:I}", "id", ev->id, "type",
	    machine_event_type_name(ev->type), "status", machine_state_name(ev->status), "source",
	    ev->by_user ? "user" : "flyd", "timestamp", (json_int_t)ev->at_ms);
	if (j && ev->has_exit)
		json_object_set_new(j, "request",
		    json_pack("{s:o,s:I}", "exit_event",
			machine_exit_format(&ev->exit, ev->restarting), "restart_count",
			(json_int_t)ev->restart_count));
	return j;
}

static int event_exit_parse(const json_t *req, struct machine_event *ev, struct err *e)
{
	int64_t code = -1, signal = 0, count = 0;
	json_t *x = NULL;
	const char *at = NULL;
	int r = 0;
	if ((r = json_opt_int(req, "request", "restart_count", 0, UINT32_MAX, &count, e)) < 0 ||
	    (r = json_opt_object(req, "request", "exit_event", &x, e)) < 0)
		return r;
	ev->restart_count = (uint32_t)count;
	if (!x)
		return 0;
	ev->has_exit = true;
	if ((r = json_opt_int(x, "exit_event", "exit_code", -1, 255, &code, e)) < 0 ||
	    (r = json_opt_int(x, "exit_event", "signal", 0, 128, &signal, e)) < 0 ||
	    (r = json_opt_bool(x, "exit_event", "oom_killed", &ev->exit.oom, e)) < 0 ||
	    (r = json_opt_bool(x, "exit_event", "requested_stop", &ev->exit.requested_stop, e)) <
		0 ||
	    (r = json_opt_bool(x, "exit_event", "restarting", &ev->restarting, e)) < 0 ||
	    (r = json_opt_str(x, "exit_event", "exited_at", &at, e)) < 0)
		return r;
	uint64_t us = 0;
	if (at && clock_parse_rfc3339(at, &us) < 0)
		return err_set(e, ERR_INVALID, "exited_at is not an RFC 3339 time");
	ev->exit.code = (int32_t)code;
	ev->exit.signal = (int32_t)signal;
	ev->exit.at_ms = us / 1000;
	return 0;
}

static int event_parse(const json_t *j, struct machine_event *ret, struct err *e)
{
	struct machine_event ev = { 0 };
	const char *type = NULL, *status = NULL, *source = "";
	int64_t at = 0;
	json_t *req = NULL;
	int r = 0;
	if ((r = record_opt_text(j, "id", ev.id, sizeof(ev.id), e)) < 0 ||
	    (r = json_need_str(j, "event", "type", &type, e)) < 0 ||
	    (r = json_need_str(j, "event", "status", &status, e)) < 0 ||
	    (r = json_opt_str(j, "event", "source", &source, e)) < 0 ||
	    (r = json_opt_int(j, "event", "timestamp", 0, INT64_MAX, &at, e)) < 0 ||
	    (r = json_opt_object(j, "event", "request", &req, e)) < 0)
		return r;
	size_t t = 0;
	while (
	    t < EVENT_TYPE_MAX && !streq(type, machine_event_type_name((enum machine_event_type)t)))
		t++;
	if (t == EVENT_TYPE_MAX || !machine_state_find(status, &ev.status))
		return err_set(e, ERR_INVALID, "an event's type or status is not known");
	ev.type = (enum machine_event_type)t;
	ev.by_user = streq(source, "user");
	ev.at_ms = (uint64_t)at;
	if (req && (r = event_exit_parse(req, &ev, e)) < 0)
		return r;
	*ret = ev;
	return 0;
}

static json_t *events_format(const struct machine_record *r)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < r->nevents; i++)
		json_array_append_new(list, event_format(&r->events[i]));
	return list;
}

/* ---- the record ---- */

json_t *machine_record_format(const struct machine_record *r)
{
	char token[2 * sizeof(r->token) + 1];
	hex_encode(token, r->token, sizeof(r->token));
	json_t *j = json_pack("{s:i,s:s,s:s,s:s,s:o,s:o}", "v", RECORD_VERSION, "step",
	    machine_step_name(r->step), "state", machine_state_name(r->state), "token", token,
	    "exit", exit_format(&r->exit), "events", events_format(r));
	for (size_t i = 0; j && i < countof(members); i++)
		json_object_set_new(j, members[i].name, member_format(r, &members[i]));
	return j;
}

int machine_record_parse(const json_t *j, struct machine_record *ret, struct err *e)
{
	struct machine_record rec;
	memset(&rec, 0, sizeof(rec)); /* records are compared by memcmp: padding too */
	const char *step = NULL, *state = NULL, *token = NULL;
	json_t *events = NULL, *x = NULL;
	int r = 0;
	if ((r = record_check_version(j, "machine.json", e)) < 0 ||
	    (r = json_need_str(j, "", "step", &step, e)) < 0 ||
	    (r = json_need_str(j, "", "state", &state, e)) < 0 ||
	    (r = json_need_str(j, "", "token", &token, e)) < 0 ||
	    (r = json_opt_object(j, "", "exit", &x, e)) < 0 ||
	    (r = json_opt_array(j, "", "events", &events, e)) < 0)
		return r;
	for (size_t i = 0; i < countof(members); i++)
		if ((r = member_parse(j, &rec, &members[i], e)) < 0)
			return r;
	size_t s = 0;
	while (s < STEP_MAX && !streq(step, machine_step_name((enum machine_step)s)))
		s++;
	if (s == STEP_MAX || !machine_state_find(state, &rec.state) || !id_is_machine(rec.id))
		return err_set(e, ERR_INVALID, "step, state or id of machine.json is not known");
	rec.step = (enum machine_step)s;
	if (strlen(token) != 2 * sizeof(rec.token) ||
	    !hex_decode(rec.token, sizeof(rec.token), token))
		return err_set(e, ERR_INVALID, "token must be 64 hex digits");
	if (x && (r = exit_parse(x, &rec.exit, e)) < 0)
		return r;
	for (size_t i = 0; i < json_array_size(events) && i < MACHINE_EVENTS_MAX; i++) {
		if ((r = event_parse(json_array_get(events, i), &rec.events[i], e)) < 0)
			return r;
		rec.nevents++;
	}
	*ret = rec;
	return 0;
}

json_t *machine_observed_format(
    const struct machine_record *r, const char *app, int32_t pid, const char *guest_boot)
{
	json_t *j =
	    json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:I,s:s,s:s,s:i,s:I,s:I,s:s,s:{s:s,s:s},s:o,s:s}",
		"v", RECORD_VERSION, "id", r->id, "app", app, "state", machine_state_name(r->state),
		"instance_id", r->instance_id, "failed_instance", r->failed_instance, "generation",
		(json_int_t)r->generation, "private_ip", r->net.ipv6, "ipv4", r->net.ipv4, "pid",
		pid, "started_at", (json_int_t)r->started_wall_ms, "restarts",
		(json_int_t)r->restarts, "reason", r->reason, "image", "digest", r->digest, "root",
		r->root, "events", events_format(r), "boot_id", guest_boot);
	if (j && r->has_exit)
		json_object_set_new(j, "exit", exit_format(&r->exit));
	return j;
}
