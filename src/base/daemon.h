/* Who is who: the table of Ward's daemons, their system users, and the places every program shares.
 */
#pragma once
#include "base/err.h"
#include "base/util.h"
#include <sys/types.h>

enum daemon {
	DAEMON_WARDD,
	DAEMON_ETCD,
	DAEMON_VAULT,
	DAEMON_NET,
	DAEMON_DNS,
	DAEMON_IMAGE_FETCH,
	DAEMON_IMAGE_CONVERT,
	DAEMON_AGENT,
	DAEMON_CONTROL,
	DAEMON_API,
	DAEMON_EDGE,      /* supervisor, workers and watcher */
	DAEMON_EDGE_KEYS, /* the key process alone holds private keys, so it has a user of its own
			   */
	DAEMON_TELEMETRY,
	DAEMON_MAX
};

const char *daemon_name(
    enum daemon d); /* "api", "image-fetch": names its folder and socket; its user is ward-<name> */
const char *daemon_user(enum daemon d); /* "ward-api"; wardd is root */

/* The daemon's uid and gid from the system's user database; -ENOENT when scripts/users was not run.
 */
int daemon_ids(enum daemon d, uid_t *ret_uid, gid_t *ret_gid, struct err *e) must_check;

/* Which daemon has this uid, DAEMON_MAX if none. Looked up once at daemon_users_load, which must be
 * called before confinement takes the user database away; root is DAEMON_WARDD. */
int daemon_users_load(struct err *e) must_check;
enum daemon daemon_by_uid(uid_t uid);

/* Where everything is: <root>/etc/ward, <root>/var/lib/ward, <root>/run/ward. An instance other
 * than "ward" puts its name in place of "ward", and before the name of every tap, cgroup, nft table
 * and namespace. */
struct places {
	char instance[13];
	char etc[80], lib[80], run[80]; /* short: a unix socket's path has 108 bytes */
};
int places_init(struct places *p, const char *root, const char *instance, struct err *e) must_check;

/* Every daemon's command line: --root DIR, --instance NAME; anything else is left in *argc, *argv.
 */
int places_from_args(struct places *p, int *argc, char ***argv, struct err *e) must_check;

/* The fd that wardd passed under this name (LISTEN_FDS and LISTEN_FDNAMES, as systemd does), or -1.
 */
int daemon_passed_fd(const char *name);
