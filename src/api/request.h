/* A change: recorded as a request, decided by ward-control, answered with its outcome. */
#pragma once
#include "api/api.h"

enum { REQUEST_WAIT_MS = 30 * 1000, REQUEST_SETTLE_MS = 5 * 1000 };

struct ask;
void ask_free(struct ask *a);

/* Writes requests/<ulid> and waits for its outcome; `then` gets the outcome's status and result
 * (borrowed) and must answer. When the request cannot be written, was refused, or is not decided in
 * time, the call is answered here. app_id, machine: NULL where there is none. body is taken. */
void call_request(struct call *c, const char *kind, const char *app_id, const char *machine,
    json_t *body, void (*then)(struct call *c, int status, json_t *result));

/* Removes requests whose outcome is there, whoever asked them (also before a restart of ours). */
void requests_tidy(struct api *api);
