/* Messages to wardd (SEQPACKET, <run>/wardd.sock). wardd is root, so every message is one
 * fixed-size struct; paths are derived from ids here, never passed. Only ward-agent may ask for
 * cages; only root and ward-api may ask for status. */
#pragma once
#include "base/id.h"
#include "base/ipc.h"

enum { WARDD_VERSION = 1 };

enum wardd_type {
	WARDD_CAGE_START =
	    1, /* struct wardd_cage_start (+ tap fd for the monitor) -> struct wardd_answer */
	WARDD_CAGE_STOP, /* struct wardd_cage_stop -> struct wardd_answer; kills the whole cage and
			    removes it */
	WARDD_CAGE_LIST, /* struct wardd_cage_stop with an empty machine -> struct wardd_cage_list,
			    one packet */
	WARDD_SUBSCRIBE, /* struct ipc_head alone -> struct wardd_answer; then a struct wardd_exited
			    for each end */
	WARDD_EXITED,
	WARDD_STATUS, /* struct ipc_head alone -> struct wardd_status */
};

enum wardd_role { WARDD_ROLE_LINK = 0, WARDD_ROLE_MONITOR = 1, WARDD_ROLE_MAX };
enum wardd_engine { WARDD_ENGINE_EMULATED = 1, WARDD_ENGINE_KVM = 2 };

enum { WARDD_MACHINES_MAX = 1024, WARDD_SLOT_MAX = 65535, WARDD_UID_BASE = 2000000000 };

struct wardd_cage_start {
	struct ipc_head head;
	char machine[MACHINE_ID_LEN + 2];
	uint32_t role;       /* enum wardd_role */
	uint32_t generation; /* the agent's count of starts; told again at exit */
	uint32_t slot;       /* uid = WARDD_UID_BASE + slot */
	uint32_t engine; /* monitor: enum wardd_engine; wardd refuses what the platform's file does
			    not allow */
	uint32_t cpus;   /* monitor: 1..32 */
	uint32_t memory_mib; /* monitor: guest memory, 64..262144; the cgroup gets this plus the
				monitor's overhead */
	char kernel[64]; /* folder below <lib>/guest/ with vmlinux and initrd; a plain file name */
	char root[72];   /* image below <lib>/images/: 64 hex digits (file <root>.squashfs) */
	char mac[18];    /* "02:..." of the guest's card */
	uint8_t
	    token[32]; /* the guest port's random token (reference: link and guest both get it) */
	uint8_t pad_[2];
};

struct wardd_cage_stop {
	struct ipc_head head;
	char machine[MACHINE_ID_LEN + 2];
};

struct wardd_answer {
	struct ipc_head head;
	int32_t result; /* 0 or a negative errno */
	uint32_t code;  /* enum err_code */
	int32_t pid;    /* CAGE_START: in wardd's pid namespace */
	char text[240]; /* the sentence, NUL-terminated */
};

struct wardd_exited {
	struct ipc_head head;
	char machine[MACHINE_ID_LEN + 2];
	uint32_t role, generation;
	int32_t
	    exit_code; /* -1 when killed by a signal, or not known (died while no wardd watched) */
	int32_t signal;
	uint32_t oom; /* 1 when the cgroup counted an OOM kill in this cage */
};

struct wardd_cage {
	char machine[MACHINE_ID_LEN + 2];
	uint32_t generation, slot;
	int32_t pid[WARDD_ROLE_MAX]; /* 0: not running */
};

struct wardd_cage_list {
	struct ipc_head head;
	uint32_t count;
	struct wardd_cage cage[WARDD_MACHINES_MAX];
};

struct wardd_daemon_status {
	char name[20];
	int32_t pid; /* 0: down */
	uint32_t restarts;
	uint64_t up_since_boot_ms;
};

struct wardd_status {
	struct ipc_head head;
	uint32_t count;
	struct wardd_daemon_status daemon[DAEMON_MAX];
};
