/* Finding the cages of an earlier wardd again. */
#include "base/log.h"
#include "base/str.h"
#include "supervisor/cages_state.h"
#include "supervisor/console.h"
#include <dirent.h>

void cages_note(const struct cage *cage)
{
	struct err e;
	cleanup_json json_t *o = json_pack("{s:i,s:[]}", "slot", (int)cage->slot, "run");
	json_t *list = o ? json_object_get(o, "run") : NULL;
	for (int i = 0; list && i < WARDD_ROLE_MAX; i++) {
		const struct cage_run *run = &cage->run[i];
		json_array_append_new(
		    list, json_pack("{s:i,s:I,s:I,s:I}", "pid", (int)run->process.pid, "start",
			      (json_int_t)run->process.start_ticks, "generation",
			      (json_int_t)run->generation, "oom", (json_int_t)run->oom_before));
	}
	if (record_write(&cage->all->settings->places, "cages", cage->machine, o, &e) < 0)
		log_err(&e, "noting machine %s", cage->machine);
}

static int adopt_run(struct cage_run *run, json_t *o, struct err *e)
{
	int64_t pid = 0, ticks = 0, generation = 0, oom = 0;
	int r = json_need_int(o, "run", "pid", 0, INT32_MAX, &pid, e);
	if (r == 0)
		r = json_need_int(o, "run", "start", 0, INT64_MAX, &ticks, e);
	if (r == 0)
		r = json_need_int(o, "run", "generation", 0, UINT32_MAX, &generation, e);
	if (r == 0)
		r = json_need_int(o, "run", "oom", 0, INT64_MAX, &oom, e);
	if (r < 0 || !pid)
		return r;
	run->generation = (uint32_t)generation;
	run->oom_before = (uint64_t)oom;
	struct process p = { (pid_t)pid, (uint64_t)ticks };
	cleanup_close int fd = process_open(&p, e);
	if (fd == -ESRCH)
		return 0; /* ended while nobody watched: link's record and the agent know */
	if (fd < 0)
		return fd;
	r = sd_event_add_io(
	    run->cage->all->loop, &run->source, fd, EPOLLIN, cages_on_adopted_end, run);
	if (r < 0)
		return err_sys(e, -r, "cannot watch process %d", p.pid);
	sd_event_source_set_io_fd_own(run->source, true);
	steal_fd(&fd);
	run->process = p;
	run->child = false;
	if (run->role == WARDD_ROLE_MONITOR)
		run->console = console_of(p.pid);
	return 0;
}

static int adopt(struct cages *c, const char *machine, struct err *e)
{
	cleanup_json json_t *o = NULL;
	json_t *list = NULL;
	int64_t slot = 0;
	int r = record_read(&c->settings->places, "cages", machine, &o, e);
	if (r == 0)
		r = json_need_int(o, "", "slot", 0, WARDD_SLOT_MAX, &slot, e);
	if (r == 0)
		r = json_opt_array(o, "", "run", &list, e);
	if (r < 0)
		return r;
	struct cage *cage = cages_find(c, "");
	if (!cage)
		return err_set(e, ERR_CAPACITY, "more records than machines fit");
	struct wardd_cage_start ask = { .slot = (uint32_t)slot };
	str_copy(ask.machine, sizeof(ask.machine), machine);
	cages_fill(c, cage, &ask);
	for (size_t i = 0; r == 0 && i < WARDD_ROLE_MAX; i++)
		if (json_array_get(list, i))
			r = adopt_run(&cage->run[i], json_array_get(list, i), e);
	struct err failed;
	if (r == 0 && cages_alive(cage))
		log_info("adopted machine %s (link %d, monitor %d)", machine,
		    cage->run[WARDD_ROLE_LINK].process.pid,
		    cage->run[WARDD_ROLE_MONITOR].process.pid);
	/* with one that cannot be watched, all end: a second one beside it must never run */
	else if (cages_stop(c, machine, &failed) < 0)
		log_err(&failed, "machine %s", machine);
	return r;
}

/* A group without a record: wardd died between a start and its note. Nobody could answer for it. */
static void kill_unknown(struct cages *c)
{
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", c->settings->cgroups.mount[CGROUP_PIDS],
	    c->settings->places.instance);
	DIR *d = opendir(path);
	for (struct dirent *de; d && (de = readdir(d));) {
		struct err e;
		if (!id_is_machine(de->d_name) || cages_find(c, de->d_name))
			continue;
		log_warn("machine %s has a cgroup but no record: killed", de->d_name);
		if (cages_stop(c, de->d_name, &e) < 0)
			log_err(&e, "removing it");
	}
	if (d)
		closedir(d);
}

void cages_adopt(struct cages *c)
{
	char path[96];
	snprintf(path, sizeof(path), "%s/wardd/cages", c->settings->places.run);
	DIR *d = opendir(path);
	for (struct dirent *de; d && (de = readdir(d));) {
		struct err failed;
		if (id_is_machine(de->d_name) && adopt(c, de->d_name, &failed) < 0) {
			log_err(&failed, "adopting machine %s", de->d_name);
			record_remove(&c->settings->places, "cages", de->d_name);
		}
	}
	if (d)
		closedir(d);
	kill_unknown(c);
}
