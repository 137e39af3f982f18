/* Serves proto/ipc_keys.h to the edge's workers. */
#pragma once
#include "edge/key_store.h"
#include <systemd/sd-event.h>

struct key_server;
int key_server_start(sd_event *loop, int listen_fd, const struct key_store *store,
    struct key_server **ret, struct err *e) must_check;
void key_server_changed(struct key_server *s); /* tells every worker */
