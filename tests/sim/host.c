/* One host: agent, wardd, net, links and VMs. */
#include "core/machine_json.h"
#include "sim.h"

static uint64_t boot_ms(const struct sim *s, const struct sim_host *h)
{
	return s->now - h->boot_at + 1000;
}

static uint64_t wall_ms(const struct sim *s)
{
	return (uint64_t)((int64_t)s->now + 1700000000000 + s->wall_off);
}

struct real *real_find(struct sim_host *h, const char *id)
{
	for (int i = 0; i < MACHINES_MAX; i++)
		if (h->m[i].used && streq(h->m[i].id, id))
			return &h->m[i];
	return NULL;
}

static struct real *real_get(struct sim *s, struct sim_host *h, const char *id)
{
	struct real *m = real_find(h, id);
	for (int i = 0; !m && i < MACHINES_MAX; i++)
		if (!h->m[i].used) {
			m = &h->m[i];
			memset(m, 0, sizeof(*m));
			m->used = true;
			str_copy(m->id, sizeof(m->id), id);
		}
	if (!m)
		violate(s, "the simulation has no room for one more machine");
	return m;
}

/* ---- the agent's memory ---- */

static void know(struct sim_host *h, struct real *m)
{
	if (m->known)
		return;
	m->known = true;
	memset(&m->r, 0, sizeof(m->r));
	str_copy(m->r.id, sizeof(m->r.id), m->id);
	str_copy(m->r.boot_id, sizeof(m->r.boot_id), h->boot_id);
	m->r.slot = 1 + (uint32_t)(m - h->m);
	m->look_at = 0;
}

static void agent_forget(struct real *m)
{
	m->known = false;
	if (m->has_desired)
		desired_done(&m->desired);
	m->has_desired = m->saw_cage = m->tap_fd = m->link_known = m->exit_told = m->told_oom =
	    false;
	m->saw_link = m->saw_monitor = 0;
	m->image_until = 0;
	m->dirty = false;
}

static void agent_crash(struct sim *s, struct sim_host *h)
{
	if (!h->agent_up)
		return;
	say(s, "%s: agent dies", h->name);
	s->crashes++;
	h->agent_up = h->cages_known = h->trusted = false;
	h->agent_back = s->now + 200 + rnd(s, 20000);
	for (int i = 0; i < MACHINES_MAX; i++)
		if (h->m[i].used)
			agent_forget(&h->m[i]);
}

/* machine.json goes through its real form. */
static void save(struct sim *s, struct real *m)
{
	m->dirty = true;
	if (!m->folder)
		return;
	struct err e;
	cleanup_json json_t *j = machine_record_format(&m->r);
	if (machine_record_parse(j, &m->disk, &e) < 0)
		violate(s, "machine.json cannot be read again: %s", e.text);
	m->has_disk = true;
}

static void agent_return(struct sim *s, struct sim_host *h)
{
	say(s, "%s: agent is back", h->name);
	h->agent_up = true;
	for (int i = 0; i < MACHINES_MAX; i++) {
		struct real *m = &h->m[i];
		if (!m->used || !(m->folder || m->tap))
			continue;
		know(h, m);
		m->dirty = true; /* what it told last, it does not remember */
		if (m->folder && m->has_disk) {
			m->r = m->disk;
			if (!streq(m->r.boot_id, h->boot_id))
				machine_new_boot(&m->r, h->boot_id);
		}
	}
}

static void list_cages(struct sim *s, struct sim_host *h)
{
	for (int i = 0; i < MACHINES_MAX; i++) {
		struct real *m = &h->m[i];
		if (!m->used)
			continue;
		if (m->cage)
			know(h, m);
		m->saw_cage = m->cage;
		m->saw_link = m->link_pid;
		m->saw_monitor = s->plant == PLANT_DOUBLE_START ? 0 : m->monitor_pid;
		m->saw_generation = m->cage_generation;
		if (s->plant == PLANT_DOUBLE_START && m->known)
			m->r.running = false;
		m->look_at = 0;
	}
	h->cages_known = true;
}

/* What the store says, as far as it has come through: any event may be lost until the next listing.
 */
static void agent_view(struct sim *s, struct sim_host *h)
{
	bool whole = !s->chaos || chance(s, 20);
	if (!h->trusted && !whole)
		return;
	for (int i = 0; whole && i < MACHINES_MAX; i++) {
		struct real *m = &h->m[i];
		char key[160];
		snprintf(key, sizeof(key), "desired/%s/%s", h->name, m->id);
		if (m->used && m->has_desired && !store_value(s, key, NULL)) {
			desired_done(&m->desired);
			m->has_desired = false;
			m->look_at = 0;
		}
	}
	const char *key;
	json_t *entry;
	char prefix[40];
	snprintf(prefix, sizeof(prefix), "desired/%s/", h->name);
	json_object_foreach (s->store, key, entry) {
		struct err e;
		struct desired d;
		if (!str_starts(key, prefix) || (!whole && chance(s, 50)))
			continue;
		if (desired_parse(json_object_get(entry, "value"), &d, &e) < 0) {
			violate(s, "%s cannot be read: %s", key, e.text);
			return;
		}
		struct real *m = real_get(s, h, d.id);
		if (!m)
			return;
		know(h, m);
		if (!m->has_desired || m->desired.version != d.version ||
		    !streq(m->desired.updated_at, d.updated_at))
			m->look_at = 0;
		if (m->has_desired)
			desired_done(&m->desired);
		m->desired = d;
		m->has_desired = true;
	}
	/* What was gone from the view already looks as it did: all are looked at once. */
	for (int i = 0; !h->trusted && i < MACHINES_MAX; i++)
		h->m[i].look_at = 0;
	h->trusted = true;
}

/* ---- wardd, and what dies in its cages ---- */

static void tell_exit(struct sim *s, struct sim_host *h, struct real *m, int signal)
{
	/* Lost when nobody listens: the next list of cages shows it. */
	if (!h->agent_up || !h->wardd_up || !h->cages_known)
		return;
	m->saw_monitor = 0;
	m->exit_told = m->saw_generation == m->cage_generation;
	m->told_signal = signal;
	m->told_oom = false;
	m->look_at = 0;
}

static void monitor_end(struct sim *s, struct sim_host *h, struct real *m, int signal)
{
	if (!m->monitor_pid)
		return;
	say(s, "%s %s: monitor %d of generation %u ends (signal %d)", h->name, m->id,
	    m->monitor_pid, m->cage_generation, signal);
	m->monitor_pid = 0;
	tell_exit(s, h, m, signal);
}

static void link_end(struct sim *s, struct sim_host *h, struct real *m)
{
	if (!m->link_pid)
		return;
	m->link_pid = 0;
	m->link_known = false;
	if (h->agent_up && h->wardd_up && h->cages_known)
		m->saw_link = 0;
	m->look_at = 0;
}

static void start_monitor(struct sim *s, struct sim_host *h, struct real *m)
{
	const struct desired *d = m->has_desired ? &m->desired : &m->copy;
	const char *behave = json_string_value(json_object_get(d->config, "behave"));
	check_monitor_start(s, h, m);
	s->starts++;
	m->monitor_pid = ++h->next_pid;
	m->cage_generation = m->r.generation;
	str_copy(m->behave, sizeof(m->behave), behave ? behave : "good");
	m->hello_at = s->now + 1000 + rnd(s, 4000);
	if (streq(m->behave, "noboot"))
		m->hello_at = UINT64_MAX;
	m->run_at = m->exit_at = m->off_at = 0;
	m->stop_asked = false;
	say(s, "%s %s: monitor %d of generation %u starts (%s)", h->name, m->id, m->monitor_pid,
	    m->cage_generation, m->behave);
}

/* The guest's own life: hello, run, the app's end, power off. What it says reaches link alone. */
static void guest_tick(struct sim *s, struct sim_host *h, struct real *m)
{
	if (!m->monitor_pid)
		return;
	if (!m->run_at && s->now >= m->hello_at && m->link_pid) {
		if (m->link_generation == m->cage_generation && m->phase == LINK_WAITING) {
			m->phase = LINK_RUNNING;
			m->run_at = s->now;
			if (streq(m->behave, "crash"))
				m->exit_at = s->now + 300 + rnd(s, 3000), m->exit_code = 1;
			else if (streq(m->behave, "job"))
				m->exit_at = s->now + 1000 + rnd(s, 20000), m->exit_code = 0;
			m->look_at = 0;
		}
	}
	if (m->run_at && m->exit_at && s->now >= m->exit_at && !m->off_at) {
		m->off_at = s->now + 200 + rnd(s, 1500);
		m->kept_at = s->now + rnd(s, 12000);
		m->log_left = true;
		m->phase = LINK_EXITED; /* kept on disk by link, or told to the next link */
		m->link_exit =
		    (struct machine_exit){ m->exit_code, 0, false, m->stop_asked, wall_ms(s) };
		m->look_at = 0;
	}
	if (m->off_at && s->now >= m->off_at)
		monitor_end(s, h, m, 0);
}

/* ---- the agent acts ---- */

static const struct desired *desired_of(const struct sim_host *h, const struct real *m)
{
	if (h->trusted)
		return m->has_desired ? &m->desired : NULL;
	return m->has_copy ? &m->copy : NULL;
}

static void keep_copy(struct real *m, const struct desired *d)
{
	if (!d || d == &m->copy)
		return;
	if (m->has_copy)
		desired_done(&m->copy);
	desired_copy(d, &m->copy);
	m->has_copy = true;
}

static struct machine_facts facts_of(
    const struct sim *s, const struct sim_host *h, const struct real *m)
{
	return (struct machine_facts){ .trusted = h->trusted,
		.busy = m->image_until != 0,
		.cages_known = h->cages_known,
		.cage = m->saw_cage,
		.link_pid = m->saw_link,
		.monitor_pid = m->saw_monitor,
		.cage_generation = m->saw_generation,
		.taps_known = true,
		.tap = m->tap,
		.tap_fd = m->tap_fd,
		.folder = m->folder,
		.scratch = m->scratch,
		.root = m->r.root[0] != 0,
		.link_known = m->link_known && m->saw_link && m->link_pid,
		.phase = m->phase,
		.link_generation =
		    s->plant == PLANT_SKIPPED_STEP ? m->r.generation : m->link_generation,
		.link_exit = m->link_exit,
		.log_left = m->log_left,
		.exit_told = m->exit_told && m->saw_generation == m->r.generation,
		.told_signal = m->told_signal,
		.told_oom = m->told_oom };
}

static int refuse(struct err *e)
{
	return err_set(e, ERR_UNAVAILABLE, "nobody answers");
}

/* Does it in the world. *ret_silent: it may be done, but no answer comes. */
static int do_act(struct sim *s, struct sim_host *h, struct real *m, const struct desired *d,
    const struct machine_plan *plan, bool *ret_silent, struct err *e)
{
	static const struct machine_net unused;
	(void)unused;
	bool of_wardd = plan->act == ACT_LINK_START || plan->act == ACT_MONITOR_START ||
			plan->act == ACT_CAGE_STOP;
	*ret_silent = false;
	if (of_wardd && !h->wardd_up) {
		h->cages_known = false;
		return refuse(e);
	}
	if (s->chaos && !of_wardd && chance(s, 5))
		return refuse(e);
	switch (plan->act) {
	case ACT_FOLDER_MAKE: m->folder = true; break;
	case ACT_SCRATCH_MAKE:
		m->scratch = true;
		m->scratch_of = m->r.generation;
		break;
	case ACT_LINK_START:
		m->cage = m->saw_cage = true;
		if (!m->link_pid) {
			m->link_pid = ++h->next_pid;
			/* The new link has its record of an exit; what runs it learns again from
			 * the guest. */
		}
		m->saw_link = m->link_pid;
		break;
	case ACT_RUN_PUT:
		if (!m->link_pid)
			return refuse(e);
		if (m->link_generation != m->r.generation) {
			m->link_generation = m->r.generation;
			m->phase = LINK_WAITING;
		}
		m->link_known = true;
		break;
	case ACT_TAP_OPEN: m->tap = m->tap_fd = true; break;
	case ACT_MONITOR_START:
		if (!m->monitor_pid || m->cage_generation != m->r.generation)
			start_monitor(s, h, m);
		m->saw_monitor = m->monitor_pid;
		m->saw_generation = m->cage_generation;
		m->exit_told = false;
		m->tap_fd = false;
		break;
	case ACT_STOP_ASK:
		if (!m->link_pid)
			return refuse(e);
		m->stop_asked = true;
		if (m->run_at && !m->exit_at && !streq(m->behave, "hang")) {
			m->exit_at = s->now + rnd(s, 3000);
			m->exit_code = 0;
		} else if (m->run_at && m->exit_at > s->now && !streq(m->behave, "hang")) {
			m->exit_at = s->now;
		}
		break;
	case ACT_CAGE_STOP:
		if (!m->monitor_pid && m->link_known && m->log_left && m->r.generation &&
		    boot_ms(s, h) < m->r.ended_ms + MACHINE_DRAIN_MS)
			violate(s, "%s: link is ended before its lines are kept", m->id);
		if (m->monitor_pid)
			say(s, "%s %s: cage is ended with monitor %d in it", h->name, m->id,
			    m->monitor_pid);
		m->cage = m->saw_cage = m->link_known = false;
		m->link_pid = m->monitor_pid = m->saw_link = m->saw_monitor = 0;
		break;
	case ACT_TAP_REMOVE: m->tap = m->tap_fd = false; break;
	case ACT_SCRATCH_REMOVE: m->scratch = false; break;
	case ACT_FOLDER_REMOVE:
		m->folder = m->scratch = m->has_disk = false;
		m->phase = LINK_WAITING;
		m->link_generation = 0;
		break;
	default: break;
	}
	if (of_wardd && s->chaos && chance(s, 5)) {
		h->cages_known = false; /* the answer got lost */
		*ret_silent = true;
	}
	return 0;
}

static void note(
    struct sim *s, struct sim_host *h, struct real *m, const struct machine_result *res)
{
	machine_note(&m->r, desired_of(h, m), res, boot_ms(s, h), wall_ms(s));
	save(s, m);
}

static void finish_image(struct sim *s, struct sim_host *h, struct real *m)
{
	static const char root[] =
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	struct machine_result res = {
		.act = ACT_IMAGE_PREPARE, .instance = m->image_of, .digest = root, .root = root
	};
	m->image_until = 0;
	if (m->image_bad) {
		res.ret = -ENOENT;
		res.code = ERR_IMAGE_MISSING;
		res.text = "no such image";
	} else if (s->chaos && chance(s, 10)) {
		res.ret = -EAGAIN;
		res.code = ERR_UNAVAILABLE;
		res.text = "the registry does not answer";
	}
	note(s, h, m, &res);
}

static void write_observed(struct sim *s, struct sim_host *h, struct real *m)
{
	char key[160], at[CLOCK_RFC3339_SIZE];
	if (!m->r.launched)
		return;
	snprintf(key, sizeof(key), "observed/%s/%s", h->name, m->id);
	clock_format_rfc3339(at, wall_ms(s) * 1000);
	json_t *j = machine_observed_format(&m->r, "", m->saw_monitor, "");
	json_object_set_new(j, "updated_at", json_string(at));
	store_put_now(s, key, j);
	m->dirty = false;
	if (m->r.state == MACHINE_DESTROYED && !m->ever_destroyed) {
		m->ever_destroyed = true;
		json_object_set_new(s->dead, m->id, json_true());
	}
}

static bool one_action(struct sim *s, struct sim_host *h, struct real *m)
{
	static struct machine_plan plan;
	const struct desired *d = desired_of(h, m);
	struct machine_facts f = facts_of(s, h, m);
	machine_decide(d, &f, &m->r, boot_ms(s, h), wall_ms(s), &plan);
	enum machine_state was = m->r.state;
	m->r = plan.next;
	keep_copy(m, d);
	if (plan.changed)
		save(s, m);
	if (was != m->r.state)
		say(s, "%s %s: %s -> %s %s", h->name, m->id, machine_state_name(was),
		    machine_state_name(m->r.state), m->r.reason);
	m->look_at = plan.look_at_ms ? plan.look_at_ms + h->boot_at - 1000 : UINT64_MAX;
	if (s->chaos && chance(s, 1)) { /* cut between the record and the act */
		agent_crash(s, h);
		return false;
	}
	if (plan.act == ACT_NONE)
		return plan.changed;
	m->look_at = 0; /* whatever comes of it, look again */
	if (plan.act == ACT_FORGET) {
		char key[160];
		snprintf(key, sizeof(key), "observed/%s/%s", h->name, m->id);
		store_delete_now(s, key);
		agent_forget(m);
		if (m->has_copy)
			desired_done(&m->copy);
		m->used = m->has_copy = false;
		return false;
	}
	if (plan.act == ACT_IMAGE_PREPARE) {
		const char *b = json_string_value(json_object_get(d->config, "behave"));
		m->image_until = s->now + 100 + rnd(s, 5000);
		m->image_bad = b && streq(b, "noimage");
		str_copy(m->image_of, sizeof(m->image_of), d->instance_id);
		return false;
	}
	struct err e = { 0 };
	bool silent = false;
	int r = do_act(s, h, m, d, &plan, &silent, &e);
	if (s->chaos && chance(s, 1)) { /* cut between the act and its result */
		agent_crash(s, h);
		return false;
	}
	if (silent) {
		m->look_at = UINT64_MAX; /* until the next list of cages */
		return false;
	}
	struct machine_net net = { .ipv6 = "fdaa::", .mac = "02:00:00:00:00:00" };
	struct machine_result res = {
		.act = plan.act, .ret = r, .code = e.code, .text = e.text, .net = &net
	};
	note(s, h, m, &res);
	return true;
}

static void agent_tick(struct sim *s, struct sim_host *h)
{
	if (!h->agent_up) {
		if (s->now >= h->agent_back)
			agent_return(s, h);
		return;
	}
	if (!h->cages_known && h->wardd_up && chance(s, 30))
		list_cages(s, h);
	if (chance(s, s->chaos ? 20 : 60))
		agent_view(s, h);
	for (int i = 0; i < MACHINES_MAX && h->agent_up; i++) {
		struct real *m = &h->m[i];
		if (!m->used || !m->known)
			continue;
		if (m->link_pid && m->saw_link && !m->link_known && chance(s, 40)) {
			m->link_known = true;
			m->look_at = 0;
		}
		if (m->image_until && s->now >= m->image_until)
			finish_image(s, h, m), m->look_at = 0;
		for (int n = 0; n < 12 && m->used && h->agent_up && s->now >= m->look_at; n++)
			if (!one_action(s, h, m))
				break;
		if (m->used && m->dirty && h->agent_up && chance(s, 50))
			write_observed(s, h, m);
	}
}

static void telemetry_tick(struct sim *s, struct real *m)
{
	if (m->log_left && m->link_pid && s->now >= m->kept_at) {
		m->log_left = false;
		m->look_at = 0;
	}
}

/* ---- faults ---- */

static void reboot(struct sim *s, struct sim_host *h)
{
	say(s, "%s: reboots", h->name);
	agent_crash(s, h);
	h->boot_at = s->now;
	draw_hex(s, h->boot_id, BOOT_ID_LEN);
	for (int i = 0; i < MACHINES_MAX; i++) {
		struct real *m = &h->m[i];
		m->cage = m->tap = false;
		m->link_pid = m->monitor_pid = 0;
	}
	h->wardd_up = true;
}

static void faults(struct sim *s, struct sim_host *h)
{
	if (rnd(s, 1000) < 3)
		agent_crash(s, h);
	if (rnd(s, 1000) < 3 && h->wardd_up) {
		say(s, "%s: wardd dies", h->name);
		s->crashes++;
		h->wardd_up = h->cages_known = false;
		h->wardd_back = s->now + 500 + rnd(s, 10000);
	}
	if (rnd(s, 20000) < 3)
		reboot(s, h);
	struct real *m = &h->m[rnd(s, MACHINES_MAX)];
	if (!m->used)
		return;
	if (rnd(s, 1000) < 10 && m->monitor_pid) {
		s->crashes++;
		monitor_end(s, h, m, 9);
	}
	if (rnd(s, 1000) < 10 && m->link_pid) {
		s->crashes++;
		say(s, "%s %s: link dies", h->name, m->id);
		link_end(s, h, m);
	}
}

void host_tick(struct sim *s, int n)
{
	struct sim_host *h = &s->host[n];
	if (s->chaos)
		faults(s, h);
	if (!h->wardd_up && s->now >= h->wardd_back)
		h->wardd_up = true;
	for (int i = 0; i < MACHINES_MAX; i++)
		if (h->m[i].used) {
			guest_tick(s, h, &h->m[i]);
			telemetry_tick(s, &h->m[i]);
		}
	agent_tick(s, h);
}

void host_start(struct sim *s, int n)
{
	struct sim_host *h = &s->host[n];
	char key[64];
	snprintf(h->name, sizeof(h->name), "host%d", n + 1);
	h->agent_up = h->wardd_up = true;
	draw_hex(s, h->boot_id, BOOT_ID_LEN);
	snprintf(key, sizeof(key), "hosts/%s", h->name);
	struct host rec = {
		.id = (uint32_t)n + 1, .cpus = 4, .memory_mib = 8192, .disk_mib = 1024 * 1024
	};
	str_copy(rec.name, sizeof(rec.name), h->name);
	str_copy(rec.region, sizeof(rec.region), "here");
	store_put_now(s, key, host_format(&rec, "emulated", "2026-01-01T00:00:00Z"));
	snprintf(key, sizeof(key), "alive/%s", h->name);
	store_put_now(s, key, json_pack("{s:i}", "v", 1));
}

void host_done(struct sim *s, int n)
{
	for (int i = 0; i < MACHINES_MAX; i++) {
		struct real *m = &s->host[n].m[i];
		if (!m->used)
			continue;
		agent_forget(m);
		if (m->has_copy)
			desired_done(&m->copy);
	}
}

bool real_serves(const struct sim *s, const char *id)
{
	for (int n = 0; n < HOSTS; n++) {
		const struct real *m = real_find((struct sim_host *)(uintptr_t)&s->host[n], id);
		if (m && m->monitor_pid && m->run_at && m->phase == LINK_RUNNING &&
		    !streq(m->behave, "sick"))
			return true;
	}
	return false;
}
