/* The guest protocol: what ward-link (host, client) and ward-init (guest, server) say over two
 * virtio-serial ports.
 *
 * Port "ward.control": HTTP/2, the host is the client. Port "ward.log": the frames below, guest to
 * host, and acknowledgements back. A virtio-serial port is not a connection: when the host's end
 * goes and comes back, bytes of before are lost, cut, or come after. So each session on either port
 * begins with a resynchronisation.
 *
 * The host connects, sends SYNC in one write and nothing else, and drops all it reads until the ACK
 * with its own token and nonce.
 *
 * The guest takes any read that begins with SYNC and the right token as a new session: it forgets
 * the old one, writes ACK, and goes on. QEMU hands one write of the host to the guest as one read
 * (up to 4096 bytes), so a SYNC is always at the start of a read. End of file and hang-up mean
 * nothing to the guest.
 *
 * The token is random for each machine (kernel command line: ward.token=<64 hex>); it keeps old
 * bytes from passing for a SYNC, it is no authentication.
 *
 * Requests on the control port; JSON bodies, errors have status >= 400 and {"error","code"}:
 *
 *   POST /hello {"now_us":n}: "v", "boot_id", "guest_key", "kernel", "version", and as /events
 *   POST /time {"now_us":n}: every 5 s; the guest's clock follows
 *   PUT /run, the run config: idempotent for the same generation, 409 for another
 *   GET /events: JSON lines, one for each change and the present first:
 *       "phase" (waiting, running, exited), "generation", "started_at", "exit"
 *   POST /stop {"signal","timeout_ms"}: the guest powers off at the end
 *   POST /signal {"signal"}
 *   POST /bye: "your exit is on disk", so the guest need not wait longer before it powers off
 *   POST /exec: frames both ways (exec_frames.h)
 *   GET /ps, GET /stats
 */
#pragma once
#include "base/util.h"

enum {
	GUEST_VERSION = 1,
	GUEST_TOKEN_LEN = 32,
	GUEST_NONCE_LEN = 16,
	GUEST_SYNC_LEN = 64,
	GUEST_BOOT_ID_LEN = 16,
	GUEST_READ_MAX = 4096,              /* QEMU's unit, host to guest */
	GUEST_PREACK_MAX = 8 * 1024 * 1024, /* dropped before an ACK, at most */
	GUEST_WINDOW = 65535,               /* both windows, both ways */
	GUEST_BODY_MAX = 1024 * 1024,       /* of a JSON request or answer */
};

#define GUEST_PORT_CONTROL "ward.control"
#define GUEST_PORT_LOG     "ward.log"

/* SYNC and ACK on the wire: magic, token, nonce (fresh for each connection, repeated by the ACK),
 * zeros. */
struct guest_sync {
	uint8_t magic[8];
	uint8_t token[GUEST_TOKEN_LEN];
	uint8_t nonce[GUEST_NONCE_LEN];
	uint8_t zero[8];
};
_Static_assert(sizeof(struct guest_sync) == GUEST_SYNC_LEN, "sent as it is in memory");

void guest_sync_make(struct guest_sync *s, const uint8_t token[static GUEST_TOKEN_LEN],
    const uint8_t nonce[static GUEST_NONCE_LEN]);
void guest_ack_make(struct guest_sync *s, const uint8_t token[static GUEST_TOKEN_LEN],
    const uint8_t nonce[static GUEST_NONCE_LEN]);

/* Guest: does this read begin a session? nonce gets the host's. */
bool guest_sync_at(const void *p, size_t n, const uint8_t token[static GUEST_TOKEN_LEN],
    uint8_t nonce[static GUEST_NONCE_LEN]);

/* Host: the rolling search for the ACK. feed returns how many of the n bytes it used; found is set
 * when the ACK ends there. */
struct guest_ack_search {
	struct guest_sync want;
	size_t matched;
	uint64_t dropped; /* bytes seen so far, for the bound */
	bool found;
};
void guest_ack_search_init(struct guest_ack_search *a, const uint8_t token[static GUEST_TOKEN_LEN],
    const uint8_t nonce[static GUEST_NONCE_LEN]);
size_t guest_ack_search_feed(struct guest_ack_search *a, const uint8_t *p, size_t n);

/* ---- frames of the log port, little-endian ---- */
enum guest_log_type {
	GUEST_LOG_HELLO = 1, /* first after the ACK: `n` is the next line's number, the payload is
				the boot id (16 bytes) */
	GUEST_LOG_LINE = 2,
};
enum guest_log_stream { GUEST_STDOUT = 0, GUEST_STDERR = 1, GUEST_SYSTEM = 2, GUEST_STREAM_MAX };
enum { GUEST_LOG_CUT = 1 }; /* flag: the line goes on in the next record of its stream */
enum { GUEST_LINE_MAX = 16384, GUEST_LOG_HEAD = 24, GUEST_LOG_ACK_LEN = 16 };

struct guest_log_frame {
	uint8_t type, stream, flags;
	uint32_t len; /* of the payload that follows */
	uint64_t n;   /* counts lines of this boot from 1; a hole is lines the guest had to drop */
	uint64_t at_us; /* the guest's wall clock */
};
void guest_log_head_encode(uint8_t dst[static GUEST_LOG_HEAD], const struct guest_log_frame *f);

/* 0, or -EPROTO: an unknown type, stream or flag, a reserved byte set, a length out of bounds. */
int guest_log_head_decode(const uint8_t src[static GUEST_LOG_HEAD], struct guest_log_frame *ret)
    __attribute__((warn_unused_result));

/* Host to guest: all lines up to and including n are safe. decode: -EPROTO when it is not an
 * acknowledgement. */
void guest_log_ack_encode(uint8_t dst[static GUEST_LOG_ACK_LEN], uint64_t n);
int guest_log_ack_decode(const uint8_t src[static GUEST_LOG_ACK_LEN], uint64_t *ret_n)
    __attribute__((warn_unused_result));
