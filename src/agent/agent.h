/* ward-agent: makes this host's machines be what the store says. What to do is core/machine's
 * decision; here the facts are gathered and the one next action carried out. */
#pragma once
#include "base/daemon.h"
#include "base/log.h"
#include "core/machine.h"
#include "http/client.h"
#include "proto/ipc_wardd.h"
#include "store/store.h"

struct image_job;
struct link_poll;

struct machine {
	struct agent *agent;
	char id[MACHINE_ID_LEN + 1];
	struct machine_record r;
	bool has_desired, has_copy;
	struct desired desired; /* of the store, while the view has it */
	struct desired copy;    /* the last one acted on, kept in machine.json */
	char *copy_text;

	/* facts */
	bool cage, tap, tap_listed;
	int32_t link_pid, monitor_pid;
	uint32_t cage_generation, told_generation;
	int32_t told_signal;
	bool told_oom;
	int tap_fd;
	bool link_known;
	enum link_phase phase;
	uint32_t link_generation;
	int64_t link_seq;
	struct machine_exit link_exit;
	int64_t log_left;
	char guest_boot[64];
	struct http_transfer *poll, *stop_call;
	struct image_job *image;

	sd_event_source *timer, *poll_again;
	bool running_loop, observed_dirty, observed_gone;
	char *observed_text; /* as last written, without its time */
	struct machine *next;
};

struct agent {
	sd_event *loop;
	struct places places;
	const char *host, *region, *kernel;
	uint32_t host_id;
	enum wardd_engine engine; /* 0: as wardd finds */
	uint32_t cpus, memory_mib;
	char boot_id[BOOT_ID_LEN + 1];
	int machines_fd, images_fd;
	struct store *store;
	struct store_view *view;
	bool trusted;     /* the view may take things away (trust.c) */
	int64_t seen_rev; /* highest revision ever seen, kept on disk */
	struct http_client *http;
	struct machine *machines;

	int wardd_events, wardd_calls, net; /* connections; -1: none */
	bool cages_known, taps_known;
	sd_event_source *wardd_source, *reconnect, *flush, *beat;
	int64_t lease;
	bool host_written;
	unsigned beats;
	char names_dir[112];
	char *names_text, *owners_text; /* as last written */
	bool names_failed, names_dirty;
};

/* ---- machines.c: the list, and the turn of one machine ---- */
struct machine *machine_find(struct agent *a, const char *id);
struct machine *machine_get(
    struct agent *a, const char *id); /* made with an empty record if need be; NULL: no memory */
void machine_drop(struct machine *m);
void machine_turn(struct machine *m); /* decides and acts until there is nothing to do now */
void machine_turn_soon(struct machine *m);
void machines_turn_all(struct agent *a);
const struct desired *machine_desired(const struct machine *m); /* what counts now; NULL: none */
/* What an asynchronous action came to. */
void machine_finish(struct machine *m, const struct machine_result *res);

/* ---- folder.c: machine.json and what lies beside it ---- */
int folder_save(struct machine *m, struct err *e) must_check;
int folder_load_all(struct agent *a, struct err *e) must_check;
int folder_make(struct machine *m, struct err *e) must_check;
int folder_remove(struct machine *m, struct err *e) must_check;
int scratch_make(struct machine *m, uint32_t gib, struct err *e) must_check;
int scratch_remove(struct machine *m, struct err *e) must_check;
bool folder_exists(const struct machine *m);
bool scratch_exists(const struct machine *m);
bool root_exists(const struct machine *m);

/* ---- cages.c: wardd ---- */
void cages_start(struct agent *a); /* connects, lists, and keeps trying */
void cages_stop(struct agent *a);
void cages_refresh(struct agent *a); /* lists again: what an event might have missed */
int cage_start(
    struct machine *m, enum wardd_role role, struct err *e, bool *ret_unknown) must_check;
int cage_stop(struct machine *m, struct err *e) must_check;
uint32_t slot_free(struct agent *a); /* 0: none */

/* ---- taps.c: ward-net ---- */
int tap_open(
    struct machine *m, const struct desired *d, struct machine_net *ret, struct err *e) must_check;
int tap_remove(struct machine *m, struct err *e) must_check;
void taps_list(struct agent *a);

/* ---- image.c: fetch, then convert, on the loop ---- */
int image_start(struct machine *m, const struct desired *d, struct err *e) must_check;
void image_cancel(struct machine *m);
bool image_is_for(const struct machine *m, const char *instance_id); /* the job under way */

/* ---- link.c ---- */
void link_watch(struct machine *m); /* follows its state while link runs */
void link_forget(struct machine *m);
int link_put_run(struct machine *m, const struct desired *d, struct err *e) must_check;
int link_stop_app(
    struct machine *m, const char *signal, int64_t timeout_ms, struct err *e) must_check;

/* ---- runconf.c ---- */
/* The run config with the app's secrets opened; the caller wipes nothing but decrefs at once. */
int runconf_build(
    struct machine *m, const struct desired *d, json_t **ret, struct err *e) must_check;

/* ---- report.c: observed/, hosts/, alive/ ---- */
void report_start(struct agent *a);
void report_stop(struct agent *a);
void report_machine(struct machine *m); /* writes observed soon, if it changed */
void report_forget(struct machine *m);
void report_names(struct agent *a); /* writes the table of names soon, if it changed */

/* ---- trust.c ---- */
void trust_load(struct agent *a);
void trust_update(struct agent *a); /* after the view has moved */

/* ---- names.c ---- */
void names_write(
    struct agent *a); /* the tables in <run>/names, where they changed; by report's timer */
