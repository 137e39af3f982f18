/* The table of all that wardd starts: as whom, in which namespaces, with which rights. This is the
 * place to read what each daemon may do. */
#pragma once
#include "supervisor/settings.h"

enum row {
	ROW_VAULT,
	ROW_ETCD,
	ROW_STORE_SETUP,
	ROW_NET,
	ROW_DNS,
	ROW_IMAGE_FETCH,
	ROW_IMAGE_CONVERT,
	ROW_AGENT,
	ROW_CONTROL,
	ROW_API,
	ROW_EDGE_KEYS,
	ROW_EDGE,
	ROW_TELEMETRY,
	ROW_MAX
};

enum row_netns { NETNS_EMPTY, NETNS_MACHINES, NETNS_HOST };

enum row_sees {
	SEES_PROC =
	    1 << 0, /* /proc with its own processes alone; else only /proc/self and the like */
	SEES_TUN = 1 << 1,        /* /dev/net/tun */
	SEES_RESOLVER = 1 << 2,   /* resolv.conf, hosts, and the certificates of public CAs */
	SEES_TMP = 1 << 3,        /* a /tmp of its own */
	SEES_NO_SOCKETS = 1 << 4, /* not <run> */
};

struct row_socket {
	const char *name; /* of the fd; the file is <run>/<name>.sock */
	int type;
	unsigned mode; /* 0660: the daemon's own group, which `asks` gives to others */
};

enum { ARGS_MAX = 64, ROW_FOLDERS = 3, ROW_SOCKETS = 2 };
struct args {
	const char *v[ARGS_MAX + 1];
	size_t n;
	char text[4096];
	size_t used;
};
void args_add(struct args *a, const char *fmt, ...) printf_like(2, 3);

struct row_def {
	const char *name;
	const char *program; /* NULL: "ward-<name>" in libexec */
	enum daemon user;
	bool oneshot;  /* runs to its end before others start, and again after what it comes after
			  was restarted */
	bool optional; /* left out, with a warning, where its program is not installed */
	enum row_netns netns;
	uint64_t caps;
	unsigned sees;
	const char *folders[ROW_FOLDERS]; /* below <lib>, writable, its own, besides <lib>/<name> */
	const char *run_folder;           /* below <run>, writable, its own */
	unsigned run_mode;
	const char *reads[ROW_FOLDERS]; /* below <lib>, read-only */
	struct row_socket sockets[ROW_SOCKETS];
	uint32_t asks;  /* 1 << DAEMON_X: may connect to X's sockets */
	uint32_t after; /* 1 << ROW_X: started after X */
	unsigned nofile, memlock_kib;
	bool store_password;      /* the fd "store-password": its own user's */
	bool all_store_passwords; /* "store-password-<daemon>" of each, and of root */
	bool listens;             /* the edge's listeners */
	void (*args)(const struct settings *s, struct args *a);
};

extern const struct row_def rows[ROW_MAX];
