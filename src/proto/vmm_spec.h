/* What a process in a machine's cage is started with: one fixed struct on fd 3, and the places it
 * finds. ward-jail writes it; ward-link and ward-vmm read it and nothing else about the machine. */
#pragma once
#include "proto/ipc_wardd.h"

enum {
	VMM_SPEC_VERSION = 1,
	VMM_SPEC_FD = 3,
	VMM_TAP_FD = 4, /* the monitor's alone */
	VMM_CONSOLE_BYTES = 65536,
};

/* Inside the cage. */
#define VMM_RUN   "/run" /* <run>/machines/<id>, writable: link.sock, guest.sock, log.sock, ring */
#define VMM_STATE "/state" /* <lib>/machines/<id>/link, writable; the link's alone */
#define VMM_GUEST_SOCK                                                                             \
	"/run/guest.sock" /* port ward.control; the monitor listens, the link connects */
#define VMM_LOG_SOCK    "/run/log.sock" /* port ward.log; likewise */
#define VMM_CONSOLE_DIR "/console"      /* a tmpfs of VMM_CONSOLE_BYTES; the monitor's */
#define VMM_CONSOLE                                                                                \
	"/console/log" /* the guest's serial console; what no longer fits is dropped               \
			*/
#define VMM_KERNEL       "/boot/vmlinux"
#define VMM_INITRD       "/boot/initrd"
#define VMM_ROOT_DISK    "/disk/root"    /* read-only; the guest's /dev/vda */
#define VMM_SCRATCH_DISK "/disk/scratch" /* the guest's /dev/vdb */

struct vmm_spec {
	uint32_t version;
	uint32_t role;       /* enum wardd_role */
	uint32_t engine;     /* enum wardd_engine; monitor */
	uint32_t cpus;       /* monitor */
	uint32_t memory_mib; /* monitor */
	uint32_t generation;
	char machine[MACHINE_ID_LEN + 2];
	char mac[18];
	uint8_t pad_[2];
	uint8_t token[32]; /* of the guest's ports (proto/guest.h), this start's */
	uint32_t pad2_;
};
_Static_assert(sizeof(struct vmm_spec) == 6 * 4 + 16 + 20 + 32 + 4, "no hidden padding");

/* Reads one spec from fd and checks every field. */
int vmm_spec_read(int fd, struct vmm_spec *ret, struct err *e) must_check;
int vmm_spec_check(const struct vmm_spec *s, struct err *e) must_check;
