#include "base/clock.h"
#include "base/log.h"
#include "link/link.h"
#include <fcntl.h>

const char *const link_phase_names[] = { "waiting", "booted", "running", "exited" };

static json_t *exit_json(const struct link_exit *x)
{
	return json_pack("{s:i, s:i, s:b, s:b, s:b, s:I}", "code", x->code, "signal", x->signal,
	    "oom", x->oom, "requested_stop", x->requested_stop, "lost", x->lost, "at",
	    (json_int_t)x->at_ms);
}

json_t *state_json(const struct link *l)
{
	json_t *j = json_pack("{s:I, s:s, s:I, s:s, s:s, s:I, s:I, s:b, s:o}", "seq",
	    (json_int_t)l->seq, "phase", link_phase_names[l->phase], "generation",
	    (json_int_t)l->generation, "boot_id", l->boot_id, "guest_key", l->guest_key,
	    "started_at", (json_int_t)l->started_at, "log_left", (json_int_t)ring_left(&l->ring),
	    "needs_config", l->phase == LINK_BOOTED && (!l->config || l->handed), "marks",
	    marks_json(&l->marks));
	if (j && l->phase == LINK_EXITED)
		(void)json_object_set_new(j, "exit", exit_json(&l->exit));
	return j;
}

void state_changed(struct link *l)
{
	l->seq++;
	wait_wake(l);
}

void state_save_exit(struct link *l)
{
	struct err e = { 0 };
	cleanup_json json_t *j = json_pack("{s:i, s:I, s:s, s:o}", "v", 1, "generation",
	    (json_int_t)l->generation, "boot_id", l->boot_id, "exit", exit_json(&l->exit));
	if (json_write_file(l->state_dir, "exit.json", j, 0600, &e) < 0)
		log_err(&e, "keeping the exit record");
}

void state_save_generation(struct link *l)
{
	struct err e = { 0 };
	cleanup_json json_t *j =
	    json_pack("{s:i, s:I}", "v", 1, "generation", (json_int_t)l->generation);
	if (json_write_file(l->state_dir, "run.json", j, 0600, &e) < 0)
		log_err(&e, "keeping the machine's generation");
}

static void load_generation(struct link *l)
{
	struct err e = { 0 };
	cleanup_json json_t *j = NULL;
	int64_t generation = 0;
	if (json_read_file(l->state_dir, "run.json", 4096, &j, &e) == 0 &&
	    json_need_int(j, "", "generation", 1, INT64_MAX, &generation, &e) == 0 &&
	    (uint64_t)generation > l->generation) {
		l->generation = (uint64_t)generation; /* a start after the exit that is recorded */
		l->phase = LINK_WAITING;
	}
}

static int load_exit(struct link *l, struct err *e)
{
	cleanup_json json_t *j = NULL;
	json_t *x = NULL;
	const char *boot = NULL;
	int64_t generation = 0, code = 0, sig = 0, at = 0;
	int r = json_read_file(l->state_dir, "exit.json", 65536, &j, e);
	if (r < 0)
		return r;
	if ((r = json_need_int(j, "", "generation", 0, INT64_MAX, &generation, e)) < 0 ||
	    (r = json_need_str(j, "", "boot_id", &boot, e)) < 0 ||
	    (r = json_opt_object(j, "", "exit", &x, e)) < 0 || !x ||
	    (r = json_need_int(x, "exit", "code", -1, 255, &code, e)) < 0 ||
	    (r = json_need_int(x, "exit", "signal", 0, 128, &sig, e)) < 0 ||
	    (r = json_need_int(x, "exit", "at", 0, INT64_MAX, &at, e)) < 0 ||
	    (r = json_opt_bool(x, "exit", "oom", &l->exit.oom, e)) < 0 ||
	    (r = json_opt_bool(x, "exit", "lost", &l->exit.lost, e)) < 0 ||
	    (r = json_opt_bool(x, "exit", "requested_stop", &l->exit.requested_stop, e)) < 0)
		return r;
	snprintf(l->boot_id, sizeof l->boot_id, "%s", boot);
	l->generation = (uint64_t)generation;
	l->exit.code = (int)code;
	l->exit.signal = (int)sig;
	l->exit.at_ms = (uint64_t)at;
	l->phase = LINK_EXITED;
	return 0;
}

int state_load(struct link *l, struct err *e)
{
	if (faccessat(l->state_dir, "exit.json", F_OK, 0) == 0 && load_exit(l, e) < 0)
		log_err(e, "reading the exit record of before");
	load_generation(l);
	/* A new link begins above what readers have seen of the last one's count, which died with
	 * it. */
	l->seq = clock_wall_ms();
	return 0;
}
