/* A named virtio-serial port and its resynchronisation (proto/guest.h). */
#pragma once
#include "guest/loop.h"
#include "proto/guest.h"

struct port {
	const char *name;
	const uint8_t *token;
	struct watch watch;
	struct timer stuck;
	bool session;    /* a SYNC came: there is somebody to talk to */
	size_t ack_left; /* bytes of the ACK still to write */
	struct guest_sync ack;
	void (*reset)(void *arg); /* a new session: forget all of the old one */
	void (*input)(void *arg, const uint8_t *p, size_t n);
	void (*writable)(void *arg); /* the ACK is out and there may be room */
	void *arg;
};

/* Waits up to 5 s for the device; false: there is none. It is opened once and never closed, except
 * to heal (guest-protocol: QEMU loses a descriptor at each abrupt close; when none is left the port
 * cannot write, and only a new bind of the driver helps). */
bool port_open(struct port *p);

/* Bytes written, 0 when full or when the ACK must go first. */
size_t port_write(struct port *p, const void *data, size_t n);
