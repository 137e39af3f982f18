#include "agent/agent.h"
#include "base/clock.h"
#include "base/str.h"
#include "proto/ipc_net.h"
#include <sodium.h>

enum { ACTIONS_A_TURN = 24 };

struct machine *machine_find(struct agent *a, const char *id)
{
	for (struct machine *m = a->machines; m; m = m->next)
		if (streq(m->id, id))
			return m;
	return NULL;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	machine_turn(arg);
	return 0;
}

struct machine *machine_get(struct agent *a, const char *id)
{
	struct machine *m = machine_find(a, id);
	if (m)
		return m;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->agent = a;
	m->tap_fd = -1;
	m->tap = !a->taps_known;
	if (sd_event_add_time_relative(a->loop, &m->timer, CLOCK_BOOTTIME, 0, 1000, on_timer, m) <
	    0) {
		free(m);
		return NULL;
	}
	str_copy(m->id, sizeof(m->id), id);
	str_copy(m->r.id, sizeof(m->r.id), id);
	str_copy(m->r.boot_id, sizeof(m->r.boot_id), a->boot_id);
	randombytes_buf(m->r.token, sizeof(m->r.token));
	m->r.slot = slot_free(a);
	m->next = a->machines;
	a->machines = m;
	return m;
}

void machine_drop(struct machine *m)
{
	struct agent *a = m->agent;
	for (struct machine **p = &a->machines; *p; p = &(*p)->next)
		if (*p == m) {
			*p = m->next;
			break;
		}
	image_cancel(m);
	link_forget(m);
	if (m->tap_fd >= 0)
		close(m->tap_fd);
	if (m->has_desired)
		desired_done(&m->desired);
	if (m->has_copy)
		desired_done(&m->copy);
	sd_event_source_unref(m->timer);
	sd_event_source_unref(m->poll_again);
	free(m->copy_text);
	free(m->observed_text);
	free(m);
}

const struct desired *machine_desired(const struct machine *m)
{
	if (m->agent->trusted)
		return m->has_desired ? &m->desired : NULL;
	/* The store cannot be read, or is not the one we knew: go on with what we were told last.
	 */
	return m->has_copy ? &m->copy : NULL;
}

static void look_at(struct machine *m, uint64_t boot_ms)
{
	(void)sd_event_source_set_time(m->timer, boot_ms * 1000);
	(void)sd_event_source_set_enabled(m->timer, boot_ms ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

void machine_turn_soon(struct machine *m)
{
	look_at(m, 1);
}

void machines_turn_all(struct agent *a)
{
	for (struct machine *m = a->machines; m; m = m->next)
		machine_turn_soon(m);
}

static struct machine_facts facts_of(struct machine *m)
{
	struct agent *a = m->agent;
	struct machine_facts f = {
		.trusted = a->trusted,
		.busy = m->image != NULL || m->stop_call != NULL,
		.cages_known = a->cages_known,
		.cage = m->cage,
		.link_pid = m->link_pid,
		.monitor_pid = m->monitor_pid,
		.cage_generation = m->cage_generation,
		.taps_known = a->taps_known,
		.tap = m->tap,
		.tap_fd = m->tap_fd >= 0,
		.folder = folder_exists(m),
		.scratch = scratch_exists(m),
		.root = root_exists(m),
		.link_known = m->link_known,
		.phase = m->phase,
		.link_generation = m->link_generation,
		.link_exit = m->link_exit,
		.log_left = (uint64_t)m->log_left,
		.exit_told = m->told_generation && m->told_generation == m->r.generation,
		.told_signal = m->told_signal,
		.told_oom = m->told_oom,
	};
	return f;
}

static void name_events(struct machine_record *r)
{
	for (uint32_t i = 0; i < r->nevents && !r->events[i].id[0]; i++)
		id_ulid(r->events[i].id, r->events[i].at_ms);
}

static void keep_copy(struct machine *m, const struct desired *d)
{
	if (!d || d == &m->copy)
		return;
	if (m->has_copy)
		desired_done(&m->copy);
	desired_copy(d, &m->copy);
	m->has_copy = true;
}

static bool save(struct machine *m)
{
	struct err e;
	report_machine(m);
	if (folder_save(m, &e) == 0)
		return true;
	log_err(&e, "machine %s", m->id);
	return false;
}

/* One action; true: its result is in *res now. */
static bool carry_out(struct machine *m, const struct desired *d, const struct machine_plan *plan,
    struct machine_result *res, struct machine_net *net, struct err *e)
{
	bool unknown = false;
	int r = 0;
	switch (plan->act) {
	case ACT_FOLDER_MAKE: r = folder_make(m, e); break;
	case ACT_IMAGE_PREPARE:
		r = image_start(m, d, e);
		if (r == 0)
			return false;
		break;
	case ACT_SCRATCH_MAKE: r = scratch_make(m, d->size.scratch_gib, e); break;
	case ACT_LINK_START:
		r = cage_start(m, WARDD_ROLE_LINK, e, &unknown);
		if (r == 0)
			link_watch(m);
		break;
	case ACT_RUN_PUT: r = link_put_run(m, d, e); break;
	case ACT_TAP_OPEN:
		r = tap_open(m, d, net, e);
		res->net = net;
		break;
	case ACT_MONITOR_START: r = cage_start(m, WARDD_ROLE_MONITOR, e, &unknown); break;
	case ACT_STOP_ASK:
		r = link_stop_app(m, plan->signal, plan->timeout_ms, e);
		if (r == 0)
			return false;
		break;
	case ACT_CAGE_STOP:
		if (m->log_left && (!d || d->want == WANT_DESTROYED))
			log_warn("machine %s: telemetry has not kept its last %lld log lines",
			    m->id, (long long)m->log_left);
		r = cage_stop(m, e);
		break;
	case ACT_TAP_REMOVE: r = tap_remove(m, e); break;
	case ACT_SCRATCH_REMOVE: r = scratch_remove(m, e); break;
	case ACT_FOLDER_REMOVE:
		/* The cage's files become ours again, also those of a cage that died with the host.
		 */
		r = cage_stop(m, e);
		if (r == 0)
			r = folder_remove(m, e);
		break;
	default: break;
	}
	if (unknown)
		return false; /* the next list of cages tells */
	res->act = plan->act;
	res->ret = r;
	res->code = r < 0 ? e->code : ERR_NONE;
	res->text = r < 0 ? e->text : NULL;
	return true;
}

static void note(struct machine *m, const struct machine_result *res)
{
	if (res->ret < 0)
		log_warn("machine %s: %s: %s [%s]", m->id, machine_act_name(res->act), res->text,
		    err_code_name(res->code));
	machine_note(&m->r, machine_desired(m), res, clock_boot_ms(), clock_wall_ms());
	name_events(&m->r);
	(void)save(m);
}

void machine_finish(struct machine *m, const struct machine_result *res)
{
	note(m, res);
	machine_turn_soon(m);
}

void machine_turn(struct machine *m)
{
	struct agent *a = m->agent;
	if (m->running_loop)
		return;
	m->running_loop = true;
	for (int i = 0; i < ACTIONS_A_TURN; i++) {
		const struct desired *d = machine_desired(m);
		/* An image nobody waits for any more must not hold up what is wanted now. */
		if (m->image && d && (d->want != WANT_STARTED || !image_is_for(m, d->instance_id)))
			image_cancel(m);
		struct machine_facts f = facts_of(m);
		struct machine_plan plan;
		machine_decide(d, &f, &m->r, clock_boot_ms(), clock_wall_ms(), &plan);
		enum machine_state was = m->r.state;
		m->r = plan.next;
		name_events(&m->r);
		keep_copy(m, d);
		if (plan.changed && !save(m)) {
			/* Nothing is done that is not on record. */
			look_at(m, clock_boot_ms() + 1000);
			break;
		}
		if (m->r.state != was)
			log_info("machine %s is %s%s%s", m->id, machine_state_name(m->r.state),
			    m->r.reason[0] ? ": " : "", m->r.reason);
		look_at(m, plan.look_at_ms);
		if (plan.act == ACT_FORGET) {
			report_forget(m);
			report_names(a);
			machine_drop(m);
			return;
		}
		if (plan.act == ACT_NONE) {
			if (!plan.changed)
				break;
			continue;
		}
		struct machine_result res = { 0 };
		struct machine_net net = { 0 };
		struct err e = { 0 };
		log_debug("machine %s: %s", m->id, machine_act_name(plan.act));
		if (!carry_out(m, d, &plan, &res, &net, &e))
			break;
		note(m, &res);
		machine_turn_soon(m); /* should this turn be over: the others' turn first */
	}
	m->running_loop = false;
	report_machine(m);
	report_names(a);
}
