/* A whole small world in one process: a store, control, two hosts with agent, wardd, links and VMs,
 * an edge that checks, an API that asks at random. One seed, one story. The decisions are the real
 * ones of src/core; everything around them is played, and fails. */
#pragma once
#include "base/str.h"
#include "core/machine.h"
#include "core/request.h"

enum { HOSTS = 2, MACHINES_MAX = 96, STORY_MAX = 600, TICK_MS = 100 };

enum plant { PLANT_NONE, PLANT_DOUBLE_START, PLANT_NO_CORDON, PLANT_SKIPPED_STEP };

/* What is really there of one machine on one host. */
struct real {
	char id[MACHINE_ID_LEN + 1];
	bool used;
	/* disk */
	bool folder, scratch, has_disk, has_copy;
	struct machine_record disk;
	struct desired copy;
	uint32_t scratch_of; /* the generation it was made for */
	/* wardd and net */
	bool cage, tap;
	int link_pid, monitor_pid;
	uint32_t cage_generation;
	/* link */
	enum link_phase phase;
	uint32_t link_generation;
	struct machine_exit link_exit;
	bool log_left;    /* lines of the last run that telemetry has not kept, */
	uint64_t kept_at; /* as it will have from then on */
	/* the VM */
	char behave[16];
	uint64_t hello_at, run_at, exit_at, off_at;
	int exit_code;
	bool stop_asked;
	/* the agent's memory */
	bool known;
	struct machine_record r;
	bool has_desired;
	struct desired desired;
	bool saw_cage, tap_fd, link_known;
	int saw_link, saw_monitor;
	uint32_t saw_generation;
	bool exit_told, told_oom;
	int told_signal;
	uint64_t image_until; /* 0: no image under way */
	bool image_bad;
	char image_of[ULID_LEN + 1];
	uint64_t look_at;
	bool dirty;
	bool ever_destroyed; /* the host said so */
};

struct sim_host {
	char name[16];
	bool agent_up, wardd_up, cages_known, trusted, reboots;
	uint64_t agent_back, wardd_back;
	uint64_t boot_at; /* sim time of the last boot */
	char boot_id[BOOT_ID_LEN + 1];
	struct real m[MACHINES_MAX];
	int next_pid;
};

struct sim {
	uint64_t seed, rng, now;
	int64_t wall_off;
	bool chaos, calm; /* calm: no faults at all, and availability is checked */
	enum plant plant;
	json_t *store; /* key -> {"value","rev"} */
	int64_t rev;
	struct world world;
	json_t *seen; /* control's view: key -> rev */
	bool control_up;
	uint64_t control_back, control_epoch;
	struct sim_host host[HOSTS];
	json_t *dead; /* ids of machines that were destroyed */
	json_t *outcomes_ok;
	unsigned requests, refused, deploys_ok, deploys_failed, starts, restarts, crashes;
	uint64_t served_since; /* calm: since when the app must be served without a break */
	char story[STORY_MAX][220];
	unsigned nstory;
	bool failed;
};

/* chance and story */
uint64_t rnd(struct sim *s, uint64_t below);
bool chance(struct sim *s, unsigned percent);
void say(struct sim *s, const char *fmt, ...) printf_like(2, 3);
void violate(struct sim *s, const char *fmt, ...) printf_like(2, 3);
void draw_hex(struct sim *s, char *dst, size_t n);
struct fresh draw_fresh(struct sim *s);

/* plane.c: store, control, API, edge */
void plane_start(struct sim *s);
void plane_done(struct sim *s);
void plane_tick(struct sim *s);
void api_tick(struct sim *s);
void edge_tick(struct sim *s);
json_t *store_value(struct sim *s, const char *key, int64_t *ret_rev);
void store_put_now(struct sim *s, const char *key, json_t *value); /* takes value */
void store_delete_now(struct sim *s, const char *key);

/* host.c */
void host_start(struct sim *s, int n);
void host_done(struct sim *s, int n);
void host_tick(struct sim *s, int n);
struct real *real_find(struct sim_host *h, const char *id);
bool real_serves(const struct sim *s, const char *id); /* running, checks pass, not cordoned */

/* check.c */
void check_txn(struct sim *s, const struct txn *t);
void check_monitor_start(struct sim *s, struct sim_host *h, struct real *m);
void check_served(struct sim *s);
void check_settled(struct sim *s);
