/* The vault's socket: accepts the daemons, and answers one packet at a time. */
#pragma once
#include "vault/vault.h"
#include <systemd/sd-event.h>

struct vault_server;

/* listen_fd becomes the server's. */
int vault_serve(sd_event *loop, int listen_fd, struct vault *v, struct vault_server **ret,
    struct err *e) must_check;
void vault_server_stop(struct vault_server *s); /* NULL is fine */
