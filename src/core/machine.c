#include "core/machine.h"
#include "base/str.h"

static const char *const step_names[] = { "none", "begin", "image", "scratch", "tap", "link", "run",
	"monitor-asked", "monitor", "hello", "started" };
_Static_assert(countof(step_names) == STEP_MAX, "a name for each step");
static const char *const act_names[] = { "none", "folder-make", "image-prepare", "scratch-make",
	"link-start", "run-put", "tap-open", "monitor-start", "stop-ask", "cage-stop", "tap-remove",
	"scratch-remove", "folder-remove", "forget" };
_Static_assert(countof(act_names) == ACT_MAX, "a name for each action");
static const char *const event_names[] = { "launch", "start", "update", "stop", "restart", "exit",
	"destroy" };
_Static_assert(countof(event_names) == EVENT_TYPE_MAX, "a name for each event");

const char *machine_step_name(enum machine_step s)
{
	return step_names[s];
}

const char *machine_act_name(enum machine_act a)
{
	return act_names[a];
}

const char *machine_event_type_name(enum machine_event_type t)
{
	return event_names[t];
}

/* Everything one decision looks at; `n` is the record as it will be. */
struct deciding {
	const struct desired *d;
	const struct machine_facts *f;
	struct machine_record *n;
	struct machine_plan *plan;
	uint64_t now, wall;
};

static struct machine_event *tell(struct machine_record *n, enum machine_event_type type,
    enum machine_state status, bool by_user, uint64_t wall)
{
	memmove(&n->events[1], &n->events[0], sizeof(n->events[0]) * (MACHINE_EVENTS_MAX - 1));
	if (n->nevents < MACHINE_EVENTS_MAX)
		n->nevents++;
	n->events[0] = (struct machine_event){
		.type = type, .status = status, .by_user = by_user, .at_ms = wall
	};
	return &n->events[0];
}

static void look_at(struct deciding *c, uint64_t at)
{
	if (at <= c->now)
		at = c->now + 1;
	if (!c->plan->look_at_ms || at < c->plan->look_at_ms)
		c->plan->look_at_ms = at;
}

static void act(struct deciding *c, enum machine_act a)
{
	/* A failed action waits for its time; what is wanted may change meanwhile. */
	if (c->now < c->n->retry_ms) {
		look_at(c, c->n->retry_ms);
		return;
	}
	c->plan->act = a;
}

/* Ends the run the hard way; on record first, so that nobody waits for an exit that link cannot
 * tell any more. */
static void kill_cage(struct deciding *c)
{
	c->n->killed = true;
	act(c, ACT_CAGE_STOP);
}

/* A link that ends at once is not started in a tight loop. */
static void start_link(struct deciding *c)
{
	struct machine_record *n = c->n;
	if (n->link_ms && c->now < n->link_ms + MACHINE_LINK_AGAIN_MS) {
		look_at(c, n->link_ms + MACHINE_LINK_AGAIN_MS);
		return;
	}
	act(c, ACT_LINK_START);
	if (c->plan->act == ACT_LINK_START)
		n->link_ms = c->now;
}

static void set_state(struct deciding *c, enum machine_state s)
{
	c->n->state = s;
}

/* ---- what is to become of it ---- */

enum goal { GOAL_RUN, GOAL_STOP, GOAL_DESTROY, GOAL_KEEP };

static bool same_order(const struct machine_record *n, const struct desired *d)
{
	return streq(n->instance_id, d->instance_id) && n->restart_seq == d->restart_seq &&
	       n->start_seq == d->start_seq;
}

static enum goal goal_of(const struct deciding *c)
{
	const struct desired *d = c->d;
	if (!d)
		return c->f->trusted ? GOAL_DESTROY : GOAL_KEEP;
	if (d->want == WANT_DESTROYED || c->n->auto_gone)
		return GOAL_DESTROY;
	if (d->want == WANT_STOPPED)
		return GOAL_STOP;
	if (c->n->ended && same_order(c->n, d))
		return GOAL_STOP;
	return GOAL_RUN;
}

/* Whether the run under way is the one that is wanted. A second "start" of what runs changes
 * nothing. */
static bool run_is_wanted(const struct deciding *c)
{
	const struct machine_record *n = c->n;
	return n->restart_seq == c->d->restart_seq &&
	       (streq(n->instance_id, c->d->instance_id) ||
		   streq(n->failed_instance, c->d->instance_id));
}

/* ---- an end ---- */

static void close_run(struct machine_record *n, uint64_t now)
{
	n->running = false;
	n->step = STEP_NONE;
	n->stop_asked_ms = n->stop_by_ms = n->lost_ms = n->exited_ms = n->started_ms = n->since_ms =
	    0;
	n->stop_told = n->killed = n->killed_late = false;
	n->ended_ms = now;
	n->retry_ms = 0;
	n->tries = 0;
}

static void end_order(struct machine_record *n, const struct desired *d, bool badly)
{
	n->ended = true;
	n->ended_badly = badly;
	n->state = badly ? MACHINE_FAILED : MACHINE_STOPPED;
	if (!d)
		return;
	memcpy(n->instance_id, d->instance_id, sizeof(n->instance_id));
	n->version = d->version;
	n->start_seq = d->start_seq;
	n->restart_seq = d->restart_seq;
	if (d->auto_destroy && !badly)
		n->auto_gone = true;
}

static void describe_exit(char dst[REASON_MAX], const struct machine_exit *x)
{
	if (x->oom)
		snprintf(dst, REASON_MAX, "the app ran out of memory and was killed");
	else if (x->signal)
		snprintf(dst, REASON_MAX, "the app was ended by signal %d", x->signal);
	else if (x->code < 0)
		snprintf(dst, REASON_MAX, "the virtual machine ended without the app's own exit");
	else
		snprintf(dst, REASON_MAX, "the app exited with code %d", x->code);
}

static void decide_restart(
    struct deciding *c, const struct machine_exit *x, struct machine_event *ev)
{
	struct machine_record *n = c->n;
	uint64_t ran = n->started_ms ? c->now - n->started_ms : 0;
	bool failed = x->code != 0 || x->signal || x->oom || n->killed_late;
	uint64_t delay = 0;
	char why[REASON_MAX];
	if (n->killed_late)
		snprintf(why, sizeof(why), "the app did not start within %d seconds",
		    MACHINE_START_MS / 1000);
	else
		describe_exit(why, x);
	enum restart_verdict v = restart_decide(&c->d->restart, &n->restart, failed, ran, &delay);
	/* An update whose image is missing cannot be what starts again; the old one is over. */
	if (v == RESTART_AGAIN && streq(n->failed_instance, c->d->instance_id))
		v = RESTART_LEAVE_FAILED;
	close_run(n, c->now);
	switch (v) {
	case RESTART_AGAIN:
		ev->restarting = true;
		n->restarts++;
		ev->restart_count = n->restarts;
		n->next_start_ms = c->now + delay;
		n->state = MACHINE_STARTING;
		snprintf(n->reason, sizeof(n->reason), "%.180s; starting again", why);
		break;
	case RESTART_LEAVE_STOPPED:
		end_order(n, c->d, false);
		snprintf(n->reason, sizeof(n->reason), "%s", failed ? why : "");
		break;
	case RESTART_LEAVE_FAILED:
		ev->status = MACHINE_FAILED;
		snprintf(n->reason, sizeof(n->reason), "crash loop: %.160s, %u times in a row", why,
		    n->restart.failures);
		end_order(n, c->d, true);
		break;
	}
	ev->restart_count = n->restarts;
}

/* The monitor is gone and the run still counts as under way. Who says how it ended: link's record
 * (the app's own exit), else wardd (the monitor's), else nobody within MACHINE_LOST_MS. */
static void account_end(struct deciding *c, enum goal goal)
{
	const struct machine_facts *f = c->f;
	struct machine_record *n = c->n;
	struct machine_exit x = { .code = -1, .at_ms = c->wall };
	bool by_link =
	    f->link_known && f->phase == LINK_EXITED && f->link_generation == n->generation;
	if (by_link)
		x = f->link_exit;
	else if (n->killed)
		x = (struct machine_exit){ .code = 137, .signal = 9, .at_ms = c->wall };
	else if (n->step == STEP_MONITOR_ASKED && !f->exit_told) {
		/* The question may never have reached wardd: ask again, as the same run. */
		n->running = false;
		n->step = STEP_RUN;
		return;
	} else {
		if (!n->lost_ms)
			n->lost_ms = c->now;
		if (c->now < n->lost_ms + MACHINE_LOST_MS) {
			look_at(c, n->lost_ms + MACHINE_LOST_MS);
			if (!f->link_pid)
				start_link(c); /* it has the record of the app's exit */
			return;
		}
		x.signal = f->exit_told && f->told_signal > 0 ? f->told_signal : 0;
	}
	if (f->exit_told && f->told_oom)
		x.oom = true;
	bool requested = n->stop_asked_ms != 0 || x.requested_stop;
	x.requested_stop = requested;
	n->has_exit = true;
	n->exit = x;
	struct machine_event *ev = tell(n, EVENT_EXIT, MACHINE_STOPPED, false, c->wall);
	ev->has_exit = true;
	ev->exit = x;
	ev->restart_count = n->restarts;
	if (goal == GOAL_RUN && run_is_wanted(c) && !n->stop_asked_ms) {
		decide_restart(c, &x, ev);
		return;
	}
	close_run(n, c->now);
	n->next_start_ms = 0;
	n->reason[0] = 0;
	if (goal == GOAL_STOP)
		n->state = MACHINE_STOPPED;
	else if (goal == GOAL_RUN)
		ev->restarting = true;
}

/* ---- down ---- */

static void stop_order(const struct deciding *c, const char **signal, int64_t *timeout_ms)
{
	const struct desired *d = c->d;
	*signal = "SIGINT";
	*timeout_ms = 5000;
	if (!d)
		return;
	if (d->config_signal[0])
		*signal = d->config_signal;
	*timeout_ms = d->config_timeout_ms;
	if (d->stop_signal[0])
		*signal = d->stop_signal;
	if (d->stop_timeout_ms)
		*timeout_ms = d->stop_timeout_ms;
}

static void begin_down(struct deciding *c, enum goal goal, int64_t timeout_ms)
{
	struct machine_record *n = c->n;
	n->stop_asked_ms = c->now;
	n->stop_by_ms = c->now + (uint64_t)timeout_ms + MACHINE_STOP_GRACE_MS;
	n->stop_told = false;
	n->retry_ms = 0;
	n->tries = 0;
	if (goal == GOAL_DESTROY) {
		if (n->state != MACHINE_DESTROYING)
			tell(n, EVENT_DESTROY, MACHINE_DESTROYING, true, c->wall);
		n->state = MACHINE_DESTROYING;
	} else if (goal == GOAL_STOP) {
		tell(n, EVENT_STOP, MACHINE_STOPPING, true, c->wall);
		n->state = MACHINE_STOPPING;
	} else if (!streq(n->instance_id, c->d->instance_id)) {
		tell(n, EVENT_UPDATE, MACHINE_UPDATING, true, c->wall);
		n->state = MACHINE_UPDATING;
	} else {
		tell(n, EVENT_RESTART, MACHINE_RESTARTING, true, c->wall);
		n->state = MACHINE_RESTARTING;
	}
}

static void take_down(struct deciding *c, enum goal goal)
{
	const struct machine_facts *f = c->f;
	struct machine_record *n = c->n;
	const char *signal = NULL;
	int64_t timeout = 0;
	stop_order(c, &signal, &timeout);
	/* The new image first: an update that cannot be had must not take the old version down. */
	if (goal == GOAL_RUN && !n->stop_asked_ms && !streq(n->instance_id, c->d->instance_id) &&
	    (!streq(n->image_instance, c->d->instance_id) || !f->root)) {
		act(c, ACT_IMAGE_PREPARE);
		return;
	}
	if (!n->stop_asked_ms)
		begin_down(c, goal, timeout);
	else if (goal == GOAL_DESTROY && n->state != MACHINE_DESTROYING) {
		tell(n, EVENT_DESTROY, MACHINE_DESTROYING, true, c->wall);
		n->state = MACHINE_DESTROYING;
	}
	bool speaks = f->link_known && (f->phase == LINK_BOOTED || f->phase == LINK_RUNNING);
	if ((c->d && c->d->stop_force) || c->now >= n->stop_by_ms || n->step < STEP_HELLO) {
		kill_cage(c);
		return;
	}
	if (!f->link_pid)
		start_link(c);
	else if (!n->stop_told && speaks) {
		str_copy(c->plan->signal, sizeof(c->plan->signal), signal);
		c->plan->timeout_ms = timeout;
		act(c, ACT_STOP_ASK);
	}
	look_at(c, n->stop_by_ms);
}

/* ---- up ---- */

static bool have_folder(const struct deciding *c)
{
	return c->f->folder;
}
static bool have_image(const struct deciding *c)
{
	return c->f->root && streq(c->n->image_instance, c->n->instance_id);
}
static bool have_scratch(const struct deciding *c)
{
	return c->f->scratch && c->n->scratch_generation == c->n->generation;
}
static bool have_link(const struct deciding *c)
{
	return c->f->link_pid > 0;
}
static bool have_run(const struct deciding *c)
{
	return c->f->link_known && c->f->link_generation == c->n->generation;
}
static bool have_tap(const struct deciding *c)
{
	return c->f->tap_fd && c->n->net.ipv6[0];
}
static bool have_monitor(const struct deciding *c)
{
	return c->f->monitor_pid > 0;
}
static bool have_hello(const struct deciding *c)
{
	return have_run(c) && c->f->phase != LINK_WAITING;
}
static bool have_started(const struct deciding *c)
{
	return have_run(c) && (c->f->phase == LINK_RUNNING || c->f->phase == LINK_EXITED);
}

/* The whole way up. Each time the first row that does not hold gives the action; a row whose action
 * is none is waited for. The network before the run config, which contains its addresses. */
static const struct way {
	enum machine_step step; /* reached when the row holds */
	bool (*holds)(const struct deciding *c);
	enum machine_act act;
	bool before_monitor; /* not asked any more once the monitor lives */
} way_up[] = {
	{ STEP_BEGIN, have_folder, ACT_FOLDER_MAKE, true },
	{ STEP_IMAGE, have_image, ACT_IMAGE_PREPARE, true },
	{ STEP_SCRATCH, have_scratch, ACT_SCRATCH_MAKE, true },
	{ STEP_TAP, have_tap, ACT_TAP_OPEN, true },
	{ STEP_LINK, have_link, ACT_LINK_START, false },
	{ STEP_RUN, have_run, ACT_RUN_PUT, false },
	{ STEP_MONITOR, have_monitor, ACT_MONITOR_START, true },
	{ STEP_HELLO, have_hello, ACT_NONE, false },
	{ STEP_STARTED, have_started, ACT_NONE, false },
};

static void climb(struct deciding *c)
{
	struct machine_record *n = c->n;
	bool alive = have_monitor(c);
	for (size_t i = 0; i < countof(way_up); i++) {
		const struct way *w = &way_up[i];
		if (alive && w->before_monitor && w->step != STEP_MONITOR)
			continue;
		if (w->holds(c)) {
			if (w->step > n->step)
				n->step = w->step;
			continue;
		}
		if (w->act == ACT_MONITOR_START && c->now >= n->retry_ms) {
			n->step = STEP_MONITOR_ASKED;
			n->running = true;
			n->since_ms = c->now;
		}
		/* Link answers a moment after it was started. */
		if (w->act == ACT_RUN_PUT && !c->f->link_known && n->tries == 0)
			look_at(c, c->now + 200);
		if (w->act == ACT_LINK_START)
			start_link(c);
		else if (w->act != ACT_NONE)
			act(c, w->act);
		return;
	}
}

static void begin_run(struct deciding *c)
{
	struct machine_record *n = c->n;
	bool same = streq(n->instance_id, c->d->instance_id);
	if (!same || n->start_seq != c->d->start_seq || n->restart_seq != c->d->restart_seq) {
		/* A new order: nothing of the old one's troubles counts. */
		n->restart = (struct restart_count){ 0 };
		n->next_start_ms = n->retry_ms = 0;
		n->tries = 0;
		n->failed_instance[0] = 0;
		n->reason[0] = 0;
		if (!same)
			n->restarts = 0;
	}
	memcpy(n->instance_id, c->d->instance_id, sizeof(n->instance_id));
	n->version = c->d->version;
	n->start_seq = c->d->start_seq;
	n->restart_seq = c->d->restart_seq;
	n->ended = n->ended_badly = false;
	n->generation++;
	n->step = STEP_BEGIN;
	n->has_exit = false;
	tell(n, EVENT_START, MACHINE_STARTING, n->restarts == 0, c->wall);
	set_state(c, MACHINE_STARTING);
}

static void bring_up(struct deciding *c)
{
	struct machine_record *n = c->n;
	if (n->step != STEP_NONE && !same_order(n, c->d))
		n->step = STEP_NONE; /* on the way up for an order that is over */
	if (n->step == STEP_NONE) {
		bool waits = same_order(n, c->d) && c->now < n->next_start_ms;
		if (waits) {
			look_at(c, n->next_start_ms);
			return;
		}
		/* Without a record, what is there is of nobody knows which run. */
		if (!n->generation && (c->f->cage || c->f->link_pid)) {
			act(c, ACT_CAGE_STOP);
			return;
		}
		if (!n->generation && c->f->folder) {
			act(c, ACT_FOLDER_REMOVE);
			return;
		}
		begin_run(c);
	}
	climb(c);
}

/* The monitor lives and is wanted. */
static void hold_up(struct deciding *c)
{
	const struct machine_facts *f = c->f;
	struct machine_record *n = c->n;
	bool was_started = n->step == STEP_STARTED;
	if (n->step == STEP_MONITOR_ASKED)
		n->step = STEP_MONITOR;
	n->start_seq = c->d->start_seq;
	climb(c);
	if (n->step == STEP_STARTED && !was_started) {
		n->started_ms = c->now;
		n->started_wall_ms = c->wall;
		n->reason[0] = 0;
		tell(n, EVENT_START, MACHINE_STARTED, false, c->wall);
		set_state(c, MACHINE_STARTED);
	}
	bool exited = have_run(c) && f->phase == LINK_EXITED;
	if (exited) {
		if (!n->exited_ms)
			n->exited_ms = c->now;
		if (c->now >= n->exited_ms + MACHINE_POWEROFF_MS)
			kill_cage(c);
		else
			look_at(c, n->exited_ms + MACHINE_POWEROFF_MS);
		return;
	}
	if (n->step < STEP_STARTED) {
		if (c->now >= n->since_ms + MACHINE_START_MS) {
			n->killed_late = true;
			kill_cage(c);
		} else {
			look_at(c, n->since_ms + MACHINE_START_MS);
		}
	}
}

/* ---- away ---- */

/* How long a run's link stays after its end. A link whose state is not known may have lines too. */
static uint64_t link_stays_until(const struct deciding *c)
{
	const struct machine_facts *f = c->f;
	bool drains = f->link_pid && (!f->link_known || f->log_left);
	return c->n->ended_ms ? c->n->ended_ms + (drains ? MACHINE_DRAIN_MS : MACHINE_LINGER_MS)
			      : 0;
}

static void tidy(struct deciding *c, enum goal goal)
{
	const struct machine_facts *f = c->f;
	struct machine_record *n = c->n;
	n->step = STEP_NONE;
	if (goal == GOAL_DESTROY && n->state != MACHINE_DESTROYING &&
	    n->state != MACHINE_DESTROYED) {
		tell(n, EVENT_DESTROY, MACHINE_DESTROYING, c->d && c->d->want == WANT_DESTROYED,
		    c->wall);
		set_state(c, MACHINE_DESTROYING);
	}
	if (goal == GOAL_STOP)
		set_state(c, n->ended_badly && c->d->want == WANT_STARTED ? MACHINE_FAILED
			     : n->generation                              ? MACHINE_STOPPED
									  : MACHINE_CREATED);
	if (f->cage || f->link_pid) {
		uint64_t until = link_stays_until(c);
		if (c->now < until)
			look_at(c, until);
		else
			act(c, ACT_CAGE_STOP);
		return;
	}
	if (f->tap_fd || !f->taps_known || f->tap) {
		act(c, ACT_TAP_REMOVE);
		return;
	}
	if (f->scratch) {
		act(c, ACT_SCRATCH_REMOVE);
		return;
	}
	if (goal != GOAL_DESTROY)
		return;
	/* A machine that vanished by itself: its record stays until control knows, else it would be
	 * started anew. */
	bool known = !c->d || c->d->want == WANT_DESTROYED;
	if (f->folder && known) {
		act(c, ACT_FOLDER_REMOVE);
		return;
	}
	if (n->state != MACHINE_DESTROYED) {
		tell(n, EVENT_DESTROY, MACHINE_DESTROYED, false, c->wall);
		set_state(c, MACHINE_DESTROYED);
	}
	if (!c->d)
		act(c, ACT_FORGET);
}

void machine_decide(const struct desired *d, const struct machine_facts *f,
    const struct machine_record *r, uint64_t now, uint64_t wall_ms, struct machine_plan *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->next = *r;
	struct deciding c = { d, f, &ret->next, ret, now, wall_ms };
	if (f->busy)
		return;
	if (!f->cages_known) {
		look_at(&c, now + 1000);
		return;
	}
	enum goal goal = goal_of(&c);
	if (d && !ret->next.launched) {
		ret->next.launched = true;
		tell(&ret->next, EVENT_LAUNCH, MACHINE_CREATED, true, wall_ms);
		set_state(&c, MACHINE_CREATED);
	}
	bool alive = f->monitor_pid > 0;
	if (goal == GOAL_KEEP)
		;
	else if (alive && (!r->running || f->cage_generation != r->generation))
		act(&c,
		    ACT_CAGE_STOP); /* a monitor of no recorded run: never left beside another */
	else if (alive && goal == GOAL_RUN && !r->stop_asked_ms && run_is_wanted(&c))
		hold_up(&c);
	else if (alive)
		take_down(&c, goal);
	else if (r->running)
		account_end(&c, goal);
	else if (goal == GOAL_RUN)
		bring_up(&c);
	else
		tidy(&c, goal);
	/* Padding can at most say "changed" where nothing is: one more save. */
	// NOLINTNEXTLINE(bugprone-suspicious-memory-comparison)
	ret->changed = memcmp(&ret->next, r, sizeof(*r)) != 0;
	if (ret->changed && ret->act == ACT_NONE)
		look_at(&c, now); /* something was settled: go on from there */
}

/* ---- results ---- */

static bool passes_by_itself(enum err_code code)
{
	switch (code) {
	case ERR_IMAGE:
	case ERR_IMAGE_MISSING:
	case ERR_EMULATION:
	case ERR_INVALID:
	case ERR_UNSUPPORTED:
	case ERR_WALL:
	case ERR_FORBIDDEN:
	case ERR_TOO_LARGE: return false;
	default: return true;
	}
}

static void note_failure(struct machine_record *r, const struct desired *d,
    const struct machine_result *res, uint64_t now, uint64_t wall_ms)
{
	bool on_the_way_up = res->act == ACT_IMAGE_PREPARE || res->act == ACT_SCRATCH_MAKE ||
			     res->act == ACT_TAP_OPEN || res->act == ACT_LINK_START ||
			     res->act == ACT_MONITOR_START || res->act == ACT_RUN_PUT;
	if (res->act == ACT_MONITOR_START && r->step == STEP_MONITOR_ASKED) {
		/* wardd said no: there is none */
		r->running = false;
		r->step = STEP_RUN;
	}
	snprintf(r->reason, sizeof(r->reason), "%s: %.200s", machine_act_name(res->act),
	    res->text ? res->text : "");
	if (on_the_way_up && d && !passes_by_itself(res->code)) {
		if (r->running) { /* an update's image: what runs keeps running */
			memcpy(r->failed_instance, d->instance_id, sizeof(r->failed_instance));
			return;
		}
		memcpy(r->failed_instance, d->instance_id, sizeof(r->failed_instance));
		end_order(r, d, true);
		r->ended_ms = now;
		r->step = STEP_NONE;
		tell(r, EVENT_EXIT, MACHINE_FAILED, false, wall_ms);
		return;
	}
	if (r->tries < 16)
		r->tries++;
	uint64_t delay = 250ull << (r->tries > 7 ? 7 : r->tries);
	r->retry_ms = now + (delay < MACHINE_RETRY_MAX_MS ? delay : MACHINE_RETRY_MAX_MS);
}

void machine_note(struct machine_record *r, const struct desired *d,
    const struct machine_result *res, uint64_t now, uint64_t wall_ms)
{
	if (res->ret < 0) {
		note_failure(r, d, res, now, wall_ms);
		return;
	}
	r->retry_ms = 0;
	r->tries = 0;
	switch (res->act) {
	case ACT_IMAGE_PREPARE:
		str_copy(r->image_instance, sizeof(r->image_instance), res->instance);
		str_copy(r->digest, sizeof(r->digest), res->digest);
		str_copy(r->root, sizeof(r->root), res->root);
		break;
	case ACT_SCRATCH_MAKE: r->scratch_generation = r->generation; break;
	case ACT_TAP_OPEN: r->net = *res->net; break;
	case ACT_MONITOR_START:
		if (r->step == STEP_MONITOR_ASKED)
			r->step = STEP_MONITOR;
		break;
	case ACT_STOP_ASK: r->stop_told = true; break;
	default: break;
	}
}

void machine_new_boot(struct machine_record *r, const char *boot_id)
{
	str_copy(r->boot_id, sizeof(r->boot_id), boot_id);
	r->since_ms = r->started_ms = r->lost_ms = r->exited_ms = r->stop_asked_ms = r->stop_by_ms =
	    0;
	r->ended_ms = r->next_start_ms = r->retry_ms = r->link_ms = 0;
	r->tries = 0;
	r->running = r->stop_told = r->killed = r->killed_late = false;
	r->step = STEP_NONE;
}
