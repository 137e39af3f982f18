/* The host's end of one of the guest's ports: connects to QEMU's socket whenever it is there,
 * resynchronises (proto/guest.h), then passes bytes. Everything read is hostile until proven
 * otherwise: bounded before the ACK, read in slices, paused by whoever cannot take more. */
#pragma once
#include "base/buf.h"
#include "proto/guest.h"
#include <systemd/sd-event.h>

enum port_fault { PORT_FLOOD, PORT_PROTOCOL }; /* what a guest is marked for */

struct port_ops {
	void (*up)(void *arg); /* the ACK came */
	int (*input)(void *arg, const uint8_t *p,
	    size_t n);           /* negative: the guest broke the protocol; the port begins anew */
	void (*down)(void *arg); /* after up */
	void (*writable)(void *arg); /* all that was written is out */
	void (*fault)(void *arg, enum port_fault f, const char *text);
	void (*gone)(void *arg); /* nobody listens on the socket any more: QEMU has ended; once for
				    each time it was there */
};

struct port {
	sd_event *loop;
	const char *path;
	uint8_t token[GUEST_TOKEN_LEN];
	const struct port_ops *ops;
	void *arg;
	int fd;
	bool synced, paused, seen, in_input;
	unsigned backoff_ms, refused;
	struct guest_ack_search search;
	struct buf out;
	sd_event_source *io, *timer;
};

int port_start(struct port *p, struct err *e) must_check; /* loop, path, token, ops, arg are set */
void port_stop(struct port *p);

/* The monitor may be about to start: look more often. */
void port_hurry(struct port *p);
/* Ends the connection and makes a new one after delay_ms. */
void port_restart(struct port *p, unsigned delay_ms);
void port_pause(struct port *p, bool pause); /* reading */

/* Queues (at most 256 KiB) and sends. -EAGAIN when full, -ENOTCONN when down. */
int port_write(struct port *p, const void *data, size_t n) must_check;
size_t port_pending(const struct port *p);
