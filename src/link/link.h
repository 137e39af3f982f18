/* ward-link: the host's end of one machine's guest. It outlives the monitor and the agent, and
 * keeps the log ring and the exit record. */
#pragma once
#include "base/id.h"
#include "http/server.h"
#include "link/h2.h"
#include "link/marks.h"
#include "link/port.h"
#include "link/ring.h"
#include <jansson.h>

enum link_phase { LINK_WAITING, LINK_BOOTED, LINK_RUNNING, LINK_EXITED };

struct link_exit {
	int code, signal;
	bool oom, requested_stop, lost; /* lost: the VM ended without telling how; code -1 */
	uint64_t at_ms;
};

struct waiter; /* wait.c */

struct link {
	sd_event *loop;
	char machine[MACHINE_ID_LEN + 1];
	int run_dir, state_dir;
	struct marks marks;

	/* control port (guest.c) */
	struct port control;
	struct h2 *h2;
	struct h2_request *events;
	struct buf event_line;
	sd_event_source *unpause, *retry, *tick;
	bool greeted; /* this session's hello was answered */

	/* log port (logs.c) */
	struct port log;
	struct ring ring;
	uint64_t numbers_reserved; /* in the state folder */
	struct log_input *input;
	uint64_t consumer_ms; /* when somebody last asked for lines */
	bool log_drained;     /* as the state told last */

	/* the state, as GET /v1/state tells it */
	uint64_t seq;
	enum link_phase phase;
	uint64_t generation; /* of the last run config, or of the guest that we found */
	uint64_t started_at;
	char boot_id[2 * GUEST_BOOT_ID_LEN + 1], guest_key[65];
	struct link_exit exit;
	json_t *config; /* the last run config; NULL after a restart of ours */
	bool handed;    /* the config was taken by the guest of boot_id */
	struct waiter *waiters;
};

/* state.c */
void state_changed(struct link *l);
json_t *state_json(const struct link *l);
extern const char *const link_phase_names[];
int state_load(struct link *l, struct err *e) must_check; /* exit record of before */
void state_save_exit(struct link *l);
void state_save_generation(struct link *l);

/* guest.c */
int guest_start(struct link *l, struct err *e) must_check;
void guest_stop(struct link *l);
int guest_run(struct link *l, json_t *config, struct err *e) must_check; /* PUT /v1/run: borrows */

/* logs.c */
int logs_start(struct link *l, struct err *e) must_check;
void logs_stop(struct link *l);
void logs_acked(struct link *l, uint64_t upto); /* the ring may have room again */
void logs_say(struct link *l, const char *fmt, ...)
    printf_like(2, 3); /* a line of link's own, stream "system" */

/* http.c, http_logs.c, exec.c */
int http_start_api(
    struct link *l, const char *path, struct http_server **ret, struct err *e) must_check;
void http_get_logs(struct link *l, struct http_request *r);
void http_ack_logs(struct link *l, struct http_request *r);
void http_exec(struct link *l, struct http_request *r);
void http_exec_stream(struct link *l, struct http_request *r);

/* wait.c: GETs with ?after=N&wait_ms=N, answered once there is something newer, or late with what
 * there is */
struct wait_kind {
	bool (*ready)(const struct link *l, uint64_t after);
	void (*answer)(struct link *l, struct http_request *r, uint64_t after);
};
enum { WAITERS_MAX = 32, WAIT_MAX_MS = 60000 };
void wait_for(struct link *l, struct http_request *r, const struct wait_kind *kind);
void wait_wake(struct link *l);
