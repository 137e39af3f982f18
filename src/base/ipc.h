/* Messages between Ward's processes: fixed-size structs over SOCK_SEQPACKET unix sockets, with
 * passed fds and the peer's uid. One message is one packet; its length must be exactly that of its
 * type (plus a counted payload where the type says so). Anything else is fatal for the connection.
 */
#pragma once
#include "base/daemon.h"

enum { IPC_FDS_MAX = 8, IPC_BYTES_MAX = 128 * 1024 };

/* First in every message struct. */
struct ipc_head {
	uint32_t type;    /* the protocol's own enum */
	uint32_t version; /* of the protocol; a receiver refuses a newer one */
	uint64_t seq;     /* the answer repeats the question's */
};

/* Blocking connect with a bound; -ENOENT, -ECONNREFUSED: nobody is there. */
int ipc_connect(const char *path, int *ret_fd, struct err *e) must_check;

/* A listening SEQPACKET socket (wardd makes them; tests too). Replaces what is at path. */
int ipc_listen(const char *path, mode_t mode, int *ret_fd, struct err *e) must_check;

/* Who is at the other end (SO_PEERCRED): its uid and, when it is one of the daemons, which. */
int ipc_peer(int fd, uid_t *ret_uid, enum daemon *ret_daemon, struct err *e) must_check;

/* Sends head-and-body in one packet, then `tail` (may be empty) after it in the same packet. fds
 * stay the caller's. */
int ipc_send(int fd, const void *msg, size_t len, struct bytes tail, const int *fds, size_t nfds,
    struct err *e) must_check;

/* Receives one packet into buf[size]. *ret_len is its length; 0: the peer closed. Truncated data or
 * fds are errors. The received fds (close-on-exec) are the caller's; *nfds is the room on entry and
 * the count on return. -EAGAIN if the socket is non-blocking and empty. */
int ipc_recv(int fd, void *buf, size_t size, size_t *ret_len, int *fds, size_t *nfds,
    struct err *e) must_check;

/* One question and its answer on a blocking socket, within timeout_ms: sends, then receives exactly
 * ret_len bytes with the same seq into ret, up to *nfds fds into fds (both may be NULL). */
int ipc_call(int fd, const void *msg, size_t len, const int *send_fds, size_t nsend, void *ret,
    size_t ret_len, int *fds, size_t *nfds, int timeout_ms, struct err *e) must_check;
