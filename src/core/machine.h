/* The life of one machine on its host, as a pure table: what should be, what is, what was last
 * recorded and the time go in; one next action comes out. The agent saves the record before it acts
 * and again with the result, so any prefix of the actions may have been cut; asked again,
 * machine_decide finds where to go on from what is. All times "now" are boot time (they count
 * through suspend) and hold for one host boot alone; `wall` only stamps events. */
#pragma once
#include "core/records.h"

/* ---- what is recorded (machine.json) ---- */

/* How far the present run has come. Each start goes through all of them, in order. */
enum machine_step {
	STEP_NONE, /* no run: never started, or the last one is over */
	STEP_BEGIN,
	STEP_IMAGE,         /* the root disk is there */
	STEP_SCRATCH,       /* a fresh scratch disk */
	STEP_TAP,           /* the tap is open, the addresses are known */
	STEP_LINK,          /* ward-link runs */
	STEP_RUN,           /* it has the run config to hand over after hello */
	STEP_MONITOR_ASKED, /* written before asking: the monitor may or may not exist */
	STEP_MONITOR,       /* wardd said it runs */
	STEP_HELLO,         /* the guest has spoken */
	STEP_STARTED,       /* the app runs */
	STEP_MAX
};
const char *machine_step_name(enum machine_step s);

enum machine_event_type {
	EVENT_LAUNCH,
	EVENT_START,
	EVENT_UPDATE,
	EVENT_STOP,
	EVENT_RESTART,
	EVENT_EXIT,
	EVENT_DESTROY,
	EVENT_TYPE_MAX
};
const char *machine_event_type_name(enum machine_event_type t);

struct machine_event {
	char id[ULID_LEN + 1]; /* given by the agent */
	enum machine_event_type type;
	enum machine_state status;
	bool by_user;   /* source "user", else "flyd" as the Machines API has it */
	uint64_t at_ms; /* wall clock */
	bool has_exit, restarting;
	struct machine_exit exit;
	uint32_t restart_count;
};

struct machine_net {
	char ipv6[48], ipv6_gateway[48], ipv4[16], ipv4_gateway[16], dns[48], mac[18];
};

struct machine_record {
	char id[MACHINE_ID_LEN + 1];
	char boot_id[BOOT_ID_LEN + 1]; /* of the host: boot times of another boot mean nothing */
	enum machine_step step;
	enum machine_state state;
	uint32_t slot, generation;
	uint8_t token[32]; /* of the guest's port; fixed for the machine's life */
	bool running;      /* a monitor was asked for and its end is not accounted yet */
	bool launched;     /* the launch event was told */

	/* the order that the present or last run obeys */
	char instance_id[ULID_LEN + 1];
	int64_t version, start_seq, restart_seq;
	bool ended;       /* that order is over: nothing more to do for it, */
	bool ended_badly; /* as `failed` */
	bool auto_gone;   /* over, and the machine was made to vanish at its end */

	/* the image made ready for which order */
	char image_instance[ULID_LEN + 1], digest[80], root[80];
	char failed_instance[ULID_LEN + 1]; /* an update whose image cannot be had; the old one
					       keeps running */
	uint32_t scratch_generation;
	struct machine_net net;

	uint64_t since_ms;   /* when the monitor was asked for */
	uint64_t started_ms; /* when the app was seen running */
	uint64_t started_wall_ms;
	uint64_t link_ms;   /* when link was last started */
	uint64_t lost_ms;   /* when the monitor was first missed */
	uint64_t exited_ms; /* when the app's exit was first seen while the monitor lived */
	uint64_t stop_asked_ms, stop_by_ms;
	bool stop_told;   /* the guest got the stop */
	bool killed;      /* we ended its cage: there is no word of link to wait for, */
	bool killed_late; /* because its start took too long */
	uint64_t ended_ms;
	uint64_t next_start_ms; /* back-off: not before this */
	uint64_t retry_ms;      /* the next try of a failed action; not before this */
	uint32_t tries;
	struct restart_count restart;
	uint32_t restarts; /* in all */

	bool has_exit;
	struct machine_exit exit;
	char reason[REASON_MAX]; /* why it is failed, waiting or restarting */
	struct machine_event events[MACHINE_EVENTS_MAX]; /* newest first */
	uint32_t nevents;
};

/* ---- what is ---- */

enum link_phase { LINK_WAITING, LINK_BOOTED, LINK_RUNNING, LINK_EXITED };

struct machine_facts {
	bool trusted;     /* the view of desired state is whole and not older than what was seen:
			     absence means "must not be" */
	bool busy;        /* an earlier action of this machine is still under way */
	bool cages_known; /* wardd has told since the last action on this cage */
	bool cage;        /* it has a cage */
	int32_t link_pid, monitor_pid; /* 0: not running */
	uint32_t cage_generation;
	bool taps_known, tap;
	bool tap_fd; /* we hold it open */
	bool folder, scratch, root;
	bool link_known; /* ward-link answers */
	enum link_phase phase;
	uint32_t link_generation;
	struct machine_exit link_exit; /* when phase is exited */
	uint64_t log_left; /* lines that link has and telemetry has not kept yet, by link's word */
	bool exit_told;    /* by wardd, for this generation */
	int32_t told_signal;
	bool told_oom;
};

/* ---- what comes out ---- */

enum machine_act {
	ACT_NONE,
	ACT_FOLDER_MAKE,
	ACT_IMAGE_PREPARE, /* for desired's instance */
	ACT_SCRATCH_MAKE,
	ACT_LINK_START,
	ACT_RUN_PUT,
	ACT_TAP_OPEN,
	ACT_MONITOR_START,
	ACT_STOP_ASK, /* signal, timeout_ms */
	ACT_CAGE_STOP,
	ACT_TAP_REMOVE,
	ACT_SCRATCH_REMOVE,
	ACT_FOLDER_REMOVE,
	ACT_FORGET, /* nothing of it is left and nobody wants it: drop record and observed */
	ACT_MAX
};
const char *machine_act_name(enum machine_act a);

struct machine_plan {
	struct machine_record next; /* save it first, if changed */
	bool changed;
	enum machine_act act;
	char signal[16]; /* ACT_STOP_ASK */
	int64_t timeout_ms;
	uint64_t look_at_ms; /* decide again then, even if nothing happens; 0: no need */
};

enum {
	MACHINE_START_MS = 180 * 1000,     /* from the monitor's start to the app's */
	MACHINE_STOP_GRACE_MS = 10 * 1000, /* past the app's own timeout */
	MACHINE_POWEROFF_MS = 10 * 1000,   /* from the app's exit to the monitor's */
	MACHINE_LINGER_MS =
	    1500, /* link lives on so long after the end: the guest's last lines reach it, */
	MACHINE_DRAIN_MS = 6000,     /* and at most so long while telemetry has not kept them all */
	MACHINE_LOST_MS = 2000,      /* how long we wait for link's word about an end */
	MACHINE_LINK_AGAIN_MS = 500, /* between two starts of link */
	MACHINE_RETRY_MAX_MS = 30 * 1000,
};

/* d NULL: the store has no such machine. */
void machine_decide(const struct desired *d, const struct machine_facts *f,
    const struct machine_record *r, uint64_t now, uint64_t wall_ms, struct machine_plan *ret);

/* What an action came to. */
struct machine_result {
	enum machine_act act;
	int ret;            /* 0 or a negative errno */
	enum err_code code; /* why not */
	const char *text;
	const char *instance; /* IMAGE_PREPARE: for which; digest, root: what it gave */
	const char *digest, *root;
	const struct machine_net *net; /* TAP_OPEN */
};
/* Notes it in *r. A failure that cannot pass by itself ends the order as failed; any other is tried
 * again, later and later. */
void machine_note(struct machine_record *r, const struct desired *d,
    const struct machine_result *res, uint64_t now, uint64_t wall_ms);

/* A record from another boot of the host: its times mean nothing, nothing of it runs. */
void machine_new_boot(struct machine_record *r, const char *boot_id);
