#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "supervisor/cage_files.h"
#include "supervisor/cage_start.h"
#include "supervisor/cages_state.h"
#include "supervisor/console.h"
#include "supervisor/farewell.h"
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { KILL_MS = 5000 };

struct cage *cages_find(struct cages *c, const char *machine)
{
	for (size_t i = 0; i < WARDD_MACHINES_MAX; i++)
		if (streq(c->cage[i].machine, machine))
			return &c->cage[i];
	return NULL;
}

void cages_group(char dst[48], const struct cages *c, const char *machine)
{
	snprintf(dst, 48, "%s/%s", c->settings->places.instance, machine);
}

bool cages_alive(const struct cage *cage)
{
	return cage->run[WARDD_ROLE_LINK].process.pid || cage->run[WARDD_ROLE_MONITOR].process.pid;
}

/* Its place is free again when nothing runs, no group is left and so its uid may be used anew. */
static void release(struct cage *cage)
{
	char name[48];
	struct err e;
	cages_group(name, cage->all, cage->machine);
	if (cgroup_remove(&cage->all->settings->cgroups, name, &e) < 0) {
		log_err(&e, "machine %s", cage->machine);
		return;
	}
	record_remove(&cage->all->settings->places, "cages", cage->machine);
	if (cage->farewell >= 0)
		close(steal_fd(&cage->farewell));
	cage->machine[0] = 0;
}

static void ended(struct cage_run *run, int status, bool known)
{
	struct cage *cage = run->cage;
	struct cages *c = cage->all;
	char name[48];
	cages_group(name, c, cage->machine);
	struct wardd_exited x = { .head = { WARDD_EXITED, WARDD_VERSION, 0 },
		.role = run->role,
		.generation = run->generation,
		.exit_code = known && WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		.signal = known && WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		.oom = cgroup_oom_kills(&c->settings->cgroups, name) > run->oom_before };
	memcpy(x.machine, cage->machine, sizeof(x.machine));
	log_info("machine %s: %s (pid %d) ended: code %d, signal %d%s", cage->machine,
	    run->role == WARDD_ROLE_MONITOR ? "monitor" : "link", run->process.pid, x.exit_code,
	    x.signal, x.oom ? ", out of memory" : "");
	sd_event_source_disable_unref(run->source);
	run->source = NULL;
	run->process = (struct process){ 0 };
	console_save(&run->console, c->settings->log_dir, cage->machine);
	cages_note(cage);
	if (!cages_alive(cage))
		release(cage);
	c->exited(c->arg, &x);
}

int cages_on_adopted_end(sd_event_source *s, int fd, uint32_t events, void *data)
{
	ended(data, 0, false);
	return 0;
}

bool cages_reaped(struct cages *c, pid_t pid, int status)
{
	for (size_t i = 0; i < WARDD_MACHINES_MAX; i++)
		for (int k = 0; k < WARDD_ROLE_MAX; k++) {
			struct cage_run *run = &c->cage[i].run[k];
			if (c->cage[i].machine[0] && run->process.pid == pid && run->child) {
				ended(run, status, true);
				return true;
			}
		}
	return false;
}

/* The cage's place in the list: its own, or a free one. Its uid must be nobody else's. */
static int place(
    struct cages *c, const struct wardd_cage_start *ask, struct cage **ret, struct err *e)
{
	struct cage *cage = cages_find(c, ask->machine);
	for (size_t i = 0; i < WARDD_MACHINES_MAX; i++)
		if (c->cage[i].machine[0] && &c->cage[i] != cage && c->cage[i].slot == ask->slot)
			return err_set(e, ERR_CONFLICT, "slot %u is machine %s's", ask->slot,
			    c->cage[i].machine);
	if (cage && cage->slot != ask->slot)
		return err_set(e, ERR_CONFLICT, "machine %s runs in slot %u, not %u", ask->machine,
		    cage->slot, ask->slot);
	if (!cage)
		cage = cages_find(c, "");
	if (!cage)
		return err_set(e, ERR_CAPACITY, "%d machines run on this host: no more fit",
		    WARDD_MACHINES_MAX);
	*ret = cage;
	return 0;
}

void cages_fill(struct cages *c, struct cage *cage, const struct wardd_cage_start *ask)
{
	if (cage->machine[0])
		return;
	*cage = (struct cage){ .all = c, .slot = ask->slot, .farewell = -1 };
	str_copy(cage->machine, sizeof(cage->machine), ask->machine);
	for (uint32_t i = 0; i < WARDD_ROLE_MAX; i++)
		cage->run[i] = (struct cage_run){ .cage = cage, .role = i, .console = -1 };
}

int cages_start(
    struct cages *c, const struct wardd_cage_start *ask, int tap, pid_t *ret_pid, struct err *e)
{
	struct cage *cage = NULL;
	char name[48];
	int r = cage_start_check(c->settings, ask, tap, e);
	if (r == 0)
		r = place(c, ask, &cage, e);
	if (r < 0 || !cage)
		return r < 0 ? r : -EINVAL;
	struct cage_run *run = cage->machine[0] ? &cage->run[ask->role] : NULL;
	if (run && run->process.pid) {
		if (run->generation != ask->generation)
			return err_set(
			    e, ERR_CONFLICT, "it still runs in generation %u", run->generation);
		*ret_pid = run->process.pid;
		return 0;
	}
	cages_fill(c, cage, ask);
	run = &cage->run[ask->role];
	cages_group(name, c, cage->machine);
	pid_t pid = 0;
	/* nothing that we do not know of may run beside what is started */
	if (!cages_alive(cage) && cgroup_exists(&c->settings->cgroups, name))
		r = cgroup_kill(&c->settings->cgroups, name, KILL_MS, e);
	/* limits first: a monitor needs more than the link that is there already */
	if (r == 0)
		r = cage_start_limits(c->settings, ask, name, e);
	run->oom_before = cgroup_oom_kills(&c->settings->cgroups, name);
	cleanup_close int console = -1;
	if (r == 0)
		r = cage_start_process(c->settings, ask, tap, &console, &pid, e);
	if (r < 0) {
		if (!cages_alive(cage))
			release(cage);
		return r;
	}
	struct err gone; /* dead already is fine: it is reaped soon */
	if (process_look(pid, &run->process, &gone) < 0)
		run->process = (struct process){ pid, 0 };
	run->child = true;
	run->console = steal_fd(&console);

	run->generation = ask->generation;
	cages_note(cage);
	log_info("machine %s: %s started (pid %d, generation %u)", cage->machine,
	    run->role == WARDD_ROLE_MONITOR ? "monitor" : "link", pid, run->generation);
	*ret_pid = pid;
	return 0;
}

static void bury(struct cage_run *run)
{
	int status = 0;
	pid_t got = 0;
	while (run->child && (got = waitpid(run->process.pid, &status, 0)) < 0 && errno == EINTR)
		;
	ended(run, status, run->child && got > 0);
}

int cages_stop(struct cages *c, const char *machine, struct err *e)
{
	char name[48];
	if (!id_is_machine(machine))
		return err_set(e, ERR_INVALID, "the machine's id is not one");
	struct cage *cage = cages_find(c, machine);
	cages_group(name, c, machine);
	int r = cgroup_exists(&c->settings->cgroups, name)
		    ? cgroup_kill(&c->settings->cgroups, name, KILL_MS, e)
		    : 0;
	/* All are dead. Those of ours are waited for here, so that the place and the uid are free
	 * when the agent has its answer. The last one's end releases the cage. */
	for (int i = 0; r == 0 && cage && i < WARDD_ROLE_MAX; i++)
		if (streq(cage->machine, machine) && cage->run[i].process.pid)
			bury(&cage->run[i]);
	if (r == 0 && cage && streq(cage->machine, machine))
		release(cage);
	if (r == 0)
		r = cgroup_remove(&c->settings->cgroups, name, e);
	return r < 0 ? r : cage_files_take_back(c->settings, machine, e);
}

void cages_list(const struct cages *c, struct wardd_cage_list *ret)
{
	ret->count = 0;
	for (size_t i = 0; i < WARDD_MACHINES_MAX; i++) {
		const struct cage *cage = &c->cage[i];
		if (!cage->machine[0])
			continue;
		struct wardd_cage *out = &ret->cage[ret->count++];
		*out = (struct wardd_cage){ .slot = cage->slot };
		memcpy(out->machine, cage->machine, sizeof(out->machine));
		for (int k = 0; k < WARDD_ROLE_MAX; k++) {
			out->pid[k] = cage->run[k].process.pid;
			out->generation = MAX(out->generation, cage->run[k].generation);
		}
	}
}

unsigned cages_running(const struct cages *c)
{
	unsigned n = 0;
	for (size_t i = 0; i < WARDD_MACHINES_MAX; i++)
		n += c->cage[i].machine[0] && c->cage[i].run[WARDD_ROLE_MONITOR].process.pid;
	return n;
}

unsigned cages_ask_all(struct cages *c)
{
	unsigned asked = 0;
	for (size_t i = 0; i < WARDD_MACHINES_MAX; i++) {
		struct cage *cage = &c->cage[i];
		struct err e;
		if (!cage->machine[0] || !cage->run[WARDD_ROLE_MONITOR].process.pid)
			continue;
		if (farewell_ask(c->settings->places.run, cage->machine,
			WARDD_UID_BASE + cage->slot, &cage->farewell, &e) < 0)
			log_err(&e, "asking machine %s to stop", cage->machine);
		else
			asked++;
	}
	return asked;
}

void cages_stop_all(struct cages *c)
{
	struct err e;
	for (size_t i = 0; i < WARDD_MACHINES_MAX; i++) {
		char machine[sizeof(c->cage[i].machine)];
		memcpy(machine, c->cage[i].machine, sizeof(machine));
		if (machine[0] && cages_stop(c, machine, &e) < 0)
			log_err(&e, "stopping machine %s", machine);
	}
}

static bool in_use(void *arg, const char *machine)
{
	return cages_find(arg, machine) != NULL;
}

void cages_tidy(struct cages *c)
{
	cage_files_tidy(c->settings, in_use, c);
}

int cages_new(struct cages **ret, const struct settings *s, sd_event *loop, cages_exited_fn exited,
    void *arg, struct err *e)
{
	struct cages *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(e, ERR_NO_MEMORY, "no memory for the list of machines");
	c->settings = s;
	c->loop = loop;
	c->exited = exited;
	c->arg = arg;
	cages_adopt(c);
	*ret = c;
	return 0;
}
