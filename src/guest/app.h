/* The one app of this machine: started once a boot by the run config; when it ends, its record is
 * told to the host and the guest powers off. */
#pragma once
#include "guest/runconf.h"
#include "guest/users.h"

enum app_phase { APP_WAITING, APP_RUNNING, APP_EXITED };

struct app_exit {
	int code, signal;
	bool oom, requested_stop;
	uint64_t at_ms; /* wall clock */
};

extern const char *const app_phase_names[];

/* Told at each change of phase. */
void app_on_change(void (*fn)(void));

enum app_phase app_phase(void);
uint64_t app_generation(void); /* 0: none yet */
uint64_t app_started_at(void);
const struct app_exit *app_exit_record(void); /* NULL before */

/* Takes the config over (done with it, also on failure). -EEXIST when another generation runs
 * already; 0 for the same one. What goes wrong after that (no such user, nothing to run) is the
 * app's exit: 125 before it could be tried, 126 and 127 as in a shell. */
int app_run(struct runconf *c, struct err *e) must_check;

void app_stop(int signal, uint64_t timeout_ms); /* 0: the config's signal */
int app_signal(int signal, struct err *e) must_check;
void app_bye(void); /* the host has the exit record: power off as soon as the log is safe */

/* For execs: the app's environment, user and folder (valid while APP_RUNNING). */
char *const *app_env(void);
const struct user *app_user(void);
const char *app_dir(void);
int app_exec_cgroup(void); /* another than the app's: an exec's OOM is not the app's */
