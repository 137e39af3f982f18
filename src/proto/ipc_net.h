/* Messages to ward-net (SEQPACKET, <run>/net.sock; ward-agent alone). Level-triggered like all of
 * Ward: the agent says which machines there should be; asking twice is harmless. */
#pragma once
#include "base/id.h"
#include "base/ipc.h"

enum { NET_VERSION = 1 };

enum net_type {
	NET_TAP_OPEN = 1, /* struct net_tap -> struct net_answer + the open tap fd (vnet header,
			     offloads); makes or re-opens it, its routes and its rules */
	NET_TAP_REMOVE,   /* struct net_tap (machine alone matters) -> struct net_answer */
	NET_TAP_LIST,     /* struct net_tap -> struct net_list */
};

struct net_tap {
	struct ipc_head head;
	char machine[MACHINE_ID_LEN + 2];
	uint32_t network; /* the organisation's private network id (fdaa:<network>:...) */
	uint32_t host;    /* this host's id */
	uint32_t
	    number; /* the machine's number on this host: gives its private IPv4 and 6PN address */
	uint32_t pad_;
};

struct net_answer {
	struct ipc_head head;
	int32_t result;
	uint32_t code;
	char text[240];
	/* what the guest must be configured with (text forms); empty on failure */
	char ipv6[48], ipv6_gateway[48]; /* "fdaa:…::2" (a /112), "fe80::1" */
	char ipv4[16], ipv4_gateway[16]; /* "172.19.x.y" (a /32), gateway reached on-link */
	char dns[48];                    /* "fdaa::3" */
	char mac[18];
	uint8_t pad_[6];
};

enum { NET_MACHINES_MAX = 1024 };
struct net_list {
	struct ipc_head head;
	uint32_t count;
	char machine[NET_MACHINES_MAX][MACHINE_ID_LEN + 2];
};
