#include "../unit.h"
#include "base/str.h"
#include "core/machine.h"
#include "core/machine_json.h"

static const char root[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/* One machine with its facts and its clock. */
struct bench {
	struct desired d;
	bool no_desired;
	struct machine_facts f;
	struct machine_record r;
	struct machine_plan plan;
	uint64_t now;
};

static void bench_init(struct bench *b, const char *config)
{
	struct err e;
	memset(b, 0, sizeof(*b));
	json_t *j = NULL;
	assert_ok(json_parse(config, strlen(config), &j, &e), e);
	assert_ok(desired_set_config(&b->d, j, &e), e);
	json_decref(j);
	str_copy(b->d.id, sizeof(b->d.id), "0123456789abcd");
	str_copy(b->d.instance_id, sizeof(b->d.instance_id), "I1");
	b->d.version = 1;
	b->f = (struct machine_facts){ .trusted = true, .cages_known = true, .taps_known = true };
	memcpy(b->r.id, b->d.id, sizeof(b->r.id));
	b->now = 1000;
}

static enum machine_act decide(struct bench *b)
{
	machine_decide(b->no_desired ? NULL : &b->d, &b->f, &b->r, b->now, b->now + 5000, &b->plan);
	b->r = b->plan.next;
	return b->plan.act;
}

static void note(struct bench *b, int ret, enum err_code code)
{
	struct machine_net net = { .ipv6 = "fdaa::2" };
	struct machine_result res = { .act = b->plan.act,
		.ret = ret,
		.code = code,
		.text = "why",
		.net = &net,
		.instance = b->d.instance_id,
		.digest = root,
		.root = root };
	machine_note(&b->r, &b->d, &res, b->now, b->now + 5000);
}

/* Does the action in the facts, as a world without troubles would. */
static void obey(struct bench *b)
{
	struct machine_facts *f = &b->f;
	switch (b->plan.act) {
	case ACT_FOLDER_MAKE: f->folder = true; break;
	case ACT_IMAGE_PREPARE: f->root = true; break;
	case ACT_SCRATCH_MAKE: f->scratch = true; break;
	case ACT_TAP_OPEN: f->tap = f->tap_fd = true; break;
	case ACT_LINK_START:
		f->cage = f->link_known = true;
		f->link_pid = 11;
		break;
	case ACT_RUN_PUT:
		f->link_generation = b->r.generation;
		f->phase = LINK_WAITING;
		break;
	case ACT_MONITOR_START:
		f->monitor_pid = 22;
		f->cage_generation = b->r.generation;
		f->tap_fd = f->exit_told = false;
		break;
	case ACT_CAGE_STOP:
		f->cage = f->link_known = false;
		f->link_pid = f->monitor_pid = 0;
		break;
	case ACT_TAP_REMOVE: f->tap = f->tap_fd = false; break;
	case ACT_SCRATCH_REMOVE: f->scratch = false; break;
	case ACT_FOLDER_REMOVE: f->folder = f->scratch = false; break;
	default: break;
	}
	note(b, 0, ERR_NONE);
}

static void expect(struct bench *b, const enum machine_act *acts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		enum machine_act a = decide(b);
		for (int k = 0; a == ACT_NONE && b->plan.changed && k < 5; k++)
			a = decide(b);
		if (a != acts[i])
			fail_msg("action %zu is %s, expected %s (step %s, state %s)", i,
			    machine_act_name(a), machine_act_name(acts[i]),
			    machine_step_name(b->r.step), machine_state_name(b->r.state));
		if (a != ACT_NONE)
			obey(b);
	}
}
#define EXPECT(b, ...)                                                                             \
	do {                                                                                       \
		const enum machine_act acts_[] = { __VA_ARGS__ };                                  \
		expect(b, acts_, countof(acts_));                                                  \
	} while (0)

static void start(struct bench *b)
{
	EXPECT(b, ACT_FOLDER_MAKE, ACT_IMAGE_PREPARE, ACT_SCRATCH_MAKE, ACT_TAP_OPEN,
	    ACT_LINK_START, ACT_RUN_PUT, ACT_MONITOR_START, ACT_NONE);
	b->f.phase = LINK_RUNNING;
	EXPECT(b, ACT_NONE);
	assert_int_equal(b->r.state, MACHINE_STARTED);
	assert_int_equal(b->r.step, STEP_STARTED);
}

static void app_ends(struct bench *b, int code)
{
	b->f.phase = LINK_EXITED;
	b->f.link_exit = (struct machine_exit){ .code = code };
	b->f.monitor_pid = 0;
}

static void the_whole_life(void **s)
{
	struct bench b;
	bench_init(&b, "{}");
	start(&b);
	assert_int_equal(b.r.nevents, 3);
	assert_int_equal(b.r.events[2].type, EVENT_LAUNCH);
	b.d.want = WANT_STOPPED;
	EXPECT(&b, ACT_STOP_ASK);
	assert_string_equal(b.plan.signal, "SIGINT");
	assert_int_equal(b.plan.timeout_ms, 5000);
	assert_int_equal(b.r.state, MACHINE_STOPPING);
	EXPECT(&b, ACT_NONE);
	app_ends(&b, 0);
	EXPECT(&b, ACT_NONE);
	assert_int_equal(b.r.state, MACHINE_STOPPED);
	assert_true(b.r.events[0].exit.requested_stop && !b.r.events[0].restarting);
	b.now += MACHINE_LINGER_MS;
	EXPECT(&b, ACT_CAGE_STOP, ACT_TAP_REMOVE, ACT_SCRATCH_REMOVE, ACT_NONE);
	b.d.want = WANT_DESTROYED;
	EXPECT(&b, ACT_FOLDER_REMOVE, ACT_NONE);
	assert_int_equal(b.r.state, MACHINE_DESTROYED);
	b.no_desired = true;
	EXPECT(&b, ACT_FORGET);
	desired_done(&b.d);
}

/* A machine that is destroyed: link stays until telemetry has kept its lines, but not for ever. */
static void the_last_lines_are_waited_for(void **s)
{
	struct bench b;
	for (int kept = 0; kept < 2; kept++) {
		bench_init(&b, "{}");
		start(&b);
		b.d.want = WANT_DESTROYED;
		EXPECT(&b, ACT_STOP_ASK);
		b.f.log_left = 7;
		app_ends(&b, 0);
		EXPECT(&b, ACT_NONE);
		b.now += MACHINE_LINGER_MS;
		EXPECT(&b, ACT_NONE);
		assert_int_equal(b.plan.look_at_ms, b.now - MACHINE_LINGER_MS + MACHINE_DRAIN_MS);
		b.f.link_known = false; /* the agent was started anew: link is to be asked first */
		EXPECT(&b, ACT_NONE);
		b.f.link_known = true;
		if (kept)
			b.f.log_left = 0;
		else
			b.now = b.plan.look_at_ms;
		EXPECT(&b, ACT_CAGE_STOP, ACT_TAP_REMOVE, ACT_SCRATCH_REMOVE, ACT_FOLDER_REMOVE,
		    ACT_NONE);
		assert_int_equal(b.r.state, MACHINE_DESTROYED);
		desired_done(&b.d);
	}
}

static void a_crash_restarts_then_fails(void **s)
{
	struct bench b;
	bench_init(&b, "{\"restart\":{\"policy\":\"on-failure\",\"max_retries\":1}}");
	start(&b);
	app_ends(&b, 3);
	EXPECT(&b, ACT_NONE);
	assert_true(b.r.events[0].restarting);
	assert_int_equal(b.r.state, MACHINE_STARTING);
	assert_int_equal(decide(&b), ACT_NONE); /* backs off */
	assert_int_equal(b.plan.look_at_ms, b.now + 1000);
	b.now += 1000;
	EXPECT(
	    &b, ACT_SCRATCH_MAKE, ACT_TAP_OPEN, ACT_RUN_PUT, ACT_MONITOR_START); /* link lived on */
	assert_int_equal(b.r.generation, 2);
	b.f.phase = LINK_RUNNING;
	EXPECT(&b, ACT_NONE);
	app_ends(&b, 3);
	EXPECT(&b, ACT_NONE);
	assert_int_equal(b.r.state, MACHINE_FAILED);
	assert_non_null(strstr(b.r.reason, "crash loop: the app exited with code 3"));
	b.now += MACHINE_LINGER_MS;
	EXPECT(&b, ACT_CAGE_STOP, ACT_TAP_REMOVE, ACT_SCRATCH_REMOVE, ACT_NONE);
	assert_int_equal(b.r.state, MACHINE_FAILED);
	b.d.start_seq++; /* a new start is a new order */
	EXPECT(&b, ACT_SCRATCH_MAKE);
	assert_int_equal(b.r.restart.failures, 0);
	desired_done(&b.d);
}

static void an_update_makes_its_image_ready_first(void **s)
{
	struct bench b;
	bench_init(&b, "{}");
	start(&b);
	str_copy(b.d.instance_id, sizeof(b.d.instance_id), "I2");
	b.d.version = 2;
	EXPECT(&b, ACT_IMAGE_PREPARE, ACT_STOP_ASK);
	assert_int_equal(b.r.state, MACHINE_UPDATING);
	app_ends(&b, 0);
	EXPECT(&b, ACT_SCRATCH_MAKE);
	assert_string_equal(b.r.instance_id, "I2");
	assert_int_equal(b.r.restarts, 0);
	desired_done(&b.d);
}

static void an_update_without_image_keeps_the_old(void **s)
{
	struct bench b;
	bench_init(&b, "{}");
	start(&b);
	str_copy(b.d.instance_id, sizeof(b.d.instance_id), "I2");
	assert_int_equal(decide(&b), ACT_IMAGE_PREPARE);
	note(&b, -ENOENT, ERR_IMAGE_MISSING);
	assert_string_equal(b.r.failed_instance, "I2");
	EXPECT(&b, ACT_NONE);
	assert_int_equal(b.r.state, MACHINE_STARTED);
	assert_string_equal(b.r.instance_id, "I1");
	desired_done(&b.d);
}

static void a_start_without_image_fails(void **s)
{
	struct bench b;
	bench_init(&b, "{}");
	EXPECT(&b, ACT_FOLDER_MAKE);
	assert_int_equal(decide(&b), ACT_IMAGE_PREPARE);
	note(&b, -EAGAIN, ERR_UNAVAILABLE); /* passes by itself: again, later */
	assert_int_equal(decide(&b), ACT_NONE);
	assert_true(b.plan.look_at_ms > b.now);
	b.now = b.plan.look_at_ms;
	assert_int_equal(decide(&b), ACT_IMAGE_PREPARE);
	note(&b, -ENOENT, ERR_IMAGE_MISSING);
	assert_int_equal(b.r.state, MACHINE_FAILED);
	EXPECT(&b, ACT_NONE);
	assert_int_equal(b.r.state, MACHINE_FAILED);
	desired_done(&b.d);
}

static void a_hanging_stop_is_ended(void **s)
{
	struct bench b;
	bench_init(&b, "{\"stop_config\":{\"signal\":\"SIGTERM\",\"timeout\":\"2s\"}}");
	start(&b);
	b.d.want = WANT_STOPPED;
	EXPECT(&b, ACT_STOP_ASK);
	assert_string_equal(b.plan.signal, "SIGTERM");
	b.now += 2000 + MACHINE_STOP_GRACE_MS - 1;
	EXPECT(&b, ACT_NONE);
	b.now++;
	EXPECT(&b, ACT_CAGE_STOP, ACT_TAP_REMOVE);
	assert_int_equal(b.r.state, MACHINE_STOPPED); /* at once: there is nothing to wait for */
	assert_int_equal(b.r.exit.code, 137);
	desired_done(&b.d);
}

static void a_start_that_takes_too_long_is_ended(void **s)
{
	struct bench b;
	bench_init(&b, "{\"restart\":{\"policy\":\"no\"}}");
	EXPECT(&b, ACT_FOLDER_MAKE, ACT_IMAGE_PREPARE, ACT_SCRATCH_MAKE, ACT_TAP_OPEN,
	    ACT_LINK_START, ACT_RUN_PUT, ACT_MONITOR_START);
	b.now += MACHINE_START_MS;
	EXPECT(&b, ACT_CAGE_STOP);
	b.now += MACHINE_LOST_MS + 1;
	for (int i = 0; i < 6 && b.r.running; i++) {
		(void)decide(&b);
		b.now += MACHINE_LOST_MS + 1;
	}
	assert_non_null(strstr(b.r.reason, "did not start within"));
	desired_done(&b.d);
}

/* Cut after the record, before or after wardd heard of it: the list of cages decides, and never is
 * there a second one. */
static void a_cut_monitor_start(void **s)
{
	struct bench b;
	bench_init(&b, "{}");
	EXPECT(&b, ACT_FOLDER_MAKE, ACT_IMAGE_PREPARE, ACT_SCRATCH_MAKE, ACT_TAP_OPEN,
	    ACT_LINK_START, ACT_RUN_PUT);
	assert_int_equal(decide(&b), ACT_MONITOR_START);
	assert_int_equal(b.r.step, STEP_MONITOR_ASKED);
	assert_true(b.r.running);
	struct bench heard = b, unheard = b;
	heard.f.monitor_pid = 22;
	heard.f.cage_generation = heard.r.generation;
	EXPECT(&heard, ACT_NONE);
	assert_int_equal(heard.r.step, STEP_MONITOR);
	EXPECT(&unheard, ACT_MONITOR_START);
	assert_int_equal(unheard.r.generation, 1);
	b.f.cages_known = false;
	assert_int_equal(decide(&b), ACT_NONE);
	desired_done(&b.d);
}

static void an_unrecorded_monitor_is_ended(void **s)
{
	struct bench b;
	bench_init(&b, "{}");
	b.f.cage = true;
	b.f.monitor_pid = 5;
	b.f.cage_generation = 9;
	assert_int_equal(decide(&b), ACT_CAGE_STOP);
	desired_done(&b.d);
}

static void without_trust_nothing_is_taken_away(void **s)
{
	struct bench b;
	bench_init(&b, "{}");
	start(&b);
	b.no_desired = true;
	b.f.trusted = false;
	EXPECT(&b, ACT_NONE, ACT_NONE);
	b.f.trusted = true;
	EXPECT(&b, ACT_STOP_ASK);
	assert_int_equal(b.r.state, MACHINE_DESTROYING);
	desired_done(&b.d);
}

static void link_died_under_a_running_app(void **s)
{
	struct bench b;
	bench_init(&b, "{}");
	start(&b);
	b.f.link_pid = 0;
	b.f.link_known = false;
	EXPECT(&b, ACT_NONE); /* not in a tight loop */
	b.now = b.plan.look_at_ms;
	EXPECT(&b, ACT_LINK_START);
	b.f.link_generation = 0; /* the new link knows nothing yet */
	b.f.phase = LINK_WAITING;
	EXPECT(&b, ACT_RUN_PUT);
	b.f.phase = LINK_RUNNING;
	EXPECT(&b, ACT_NONE);
	assert_int_equal(b.r.state, MACHINE_STARTED);
	assert_int_equal(b.r.generation, 1);
	desired_done(&b.d);
}

static void auto_destroy_keeps_its_record_until_control_knows(void **s)
{
	struct bench b;
	bench_init(&b, "{\"auto_destroy\":true,\"restart\":{\"policy\":\"no\"}}");
	start(&b);
	app_ends(&b, 0);
	EXPECT(&b, ACT_NONE);
	b.now += MACHINE_LINGER_MS;
	EXPECT(&b, ACT_CAGE_STOP, ACT_TAP_REMOVE, ACT_SCRATCH_REMOVE, ACT_NONE);
	assert_int_equal(b.r.state, MACHINE_DESTROYED);
	assert_true(b.f.folder);
	b.d.want = WANT_DESTROYED;
	EXPECT(&b, ACT_FOLDER_REMOVE, ACT_NONE);
	desired_done(&b.d);
}

static void created_without_launch(void **s)
{
	struct bench b;
	bench_init(&b, "{}");
	b.d.want = WANT_STOPPED;
	EXPECT(&b, ACT_NONE);
	assert_int_equal(b.r.state, MACHINE_CREATED);
	desired_done(&b.d);
}

static void a_new_boot_forgets_times(void **s)
{
	struct bench b;
	bench_init(&b, "{}");
	start(&b);
	machine_new_boot(&b.r, "other");
	b.f = (struct machine_facts){ .trusted = true,
		.cages_known = true,
		.taps_known = true,
		.folder = true,
		.scratch = true,
		.root = true };
	b.now = 5;
	EXPECT(&b, ACT_SCRATCH_MAKE, ACT_TAP_OPEN, ACT_LINK_START, ACT_RUN_PUT, ACT_MONITOR_START);
	assert_int_equal(b.r.generation, 2);
	desired_done(&b.d);
}

static void the_record_round_trips(void **s)
{
	struct bench b;
	struct err e;
	struct machine_record again;
	bench_init(&b, "{}");
	start(&b);
	app_ends(&b, 4);
	EXPECT(&b, ACT_NONE);
	for (uint32_t i = 0; i < b.r.nevents; i++)
		str_copy(b.r.events[i].id, sizeof(b.r.events[i].id), "E");
	cleanup_json json_t *j = machine_record_format(&b.r);
	assert_ok(machine_record_parse(j, &again, &e), e);
	cleanup_json json_t *k = machine_record_format(&again);
	assert_true(json_equal(j, k));
	json_object_set_new(j, "step", json_string("sideways"));
	assert_int_equal(machine_record_parse(j, &again, &e), -EINVAL);
	json_object_set_new(k, "token", json_string("00"));
	assert_int_equal(machine_record_parse(k, &again, &e), -EINVAL);
	cleanup_json json_t *o = machine_observed_format(&b.r, "app", 0, "");
	struct observed seen;
	assert_ok(observed_parse(o, &seen, &e), e);
	assert_int_equal(seen.state, MACHINE_STARTING);
	assert_int_equal(seen.restarts, 1);
	assert_int_equal(seen.exit.code, 4);
	desired_done(&b.d);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_whole_life),
		cmocka_unit_test(the_last_lines_are_waited_for),
		cmocka_unit_test(a_crash_restarts_then_fails),
		cmocka_unit_test(an_update_makes_its_image_ready_first),
		cmocka_unit_test(an_update_without_image_keeps_the_old),
		cmocka_unit_test(a_start_without_image_fails),
		cmocka_unit_test(a_hanging_stop_is_ended),
		cmocka_unit_test(a_start_that_takes_too_long_is_ended),
		cmocka_unit_test(a_cut_monitor_start),
		cmocka_unit_test(an_unrecorded_monitor_is_ended),
		cmocka_unit_test(without_trust_nothing_is_taken_away),
		cmocka_unit_test(link_died_under_a_running_app),
		cmocka_unit_test(auto_destroy_keeps_its_record_until_control_knows),
		cmocka_unit_test(created_without_launch),
		cmocka_unit_test(a_new_boot_forgets_times),
		cmocka_unit_test(the_record_round_trips) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
