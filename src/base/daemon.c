#include "base/daemon.h"
#include "base/str.h"
#include <fcntl.h>
#include <pwd.h>

static const char *const names[DAEMON_MAX] = {
	[DAEMON_WARDD] = "wardd",
	[DAEMON_ETCD] = "etcd",
	[DAEMON_VAULT] = "vault",
	[DAEMON_NET] = "net",
	[DAEMON_DNS] = "dns",
	[DAEMON_IMAGE_FETCH] = "image-fetch",
	[DAEMON_IMAGE_CONVERT] = "image-convert",
	[DAEMON_AGENT] = "agent",
	[DAEMON_CONTROL] = "control",
	[DAEMON_API] = "api",
	[DAEMON_EDGE] = "edge",
	[DAEMON_EDGE_KEYS] = "edge-keys",
	[DAEMON_TELEMETRY] = "telemetry",
};
static const char *const users[DAEMON_MAX] = {
	[DAEMON_WARDD] = "root",
	[DAEMON_ETCD] = "ward-etcd",
	[DAEMON_VAULT] = "ward-vault",
	[DAEMON_NET] = "ward-net",
	[DAEMON_DNS] = "ward-dns",
	[DAEMON_IMAGE_FETCH] = "ward-image-fetch",
	[DAEMON_IMAGE_CONVERT] = "ward-image-convert",
	[DAEMON_AGENT] = "ward-agent",
	[DAEMON_CONTROL] = "ward-control",
	[DAEMON_API] = "ward-api",
	[DAEMON_EDGE] = "ward-edge",
	[DAEMON_EDGE_KEYS] = "ward-edge-keys",
	[DAEMON_TELEMETRY] = "ward-telemetry",
};
static uid_t uids[DAEMON_MAX];
static bool loaded;

const char *daemon_name(enum daemon d)
{
	return names[d];
}

const char *daemon_user(enum daemon d)
{
	return users[d];
}

int daemon_ids(enum daemon d, uid_t *ret_uid, gid_t *ret_gid, struct err *e)
{
	struct passwd pw, *found = NULL;
	char text[2048];
	int r = getpwnam_r(users[d], &pw, text, sizeof(text), &found);
	if (r || !found) {
		err_set(e, ERR_NOT_FOUND, "the system user %s does not exist", users[d]);
		err_next(e, "run libexec/ward/ward-users (scripts/users) as root; the service does "
			    "it at each start");
		return -ENOENT;
	}
	*ret_uid = pw.pw_uid;
	*ret_gid = pw.pw_gid;
	return 0;
}

int daemon_users_load(struct err *e)
{
	for (enum daemon d = 0; d < DAEMON_MAX; d++) {
		gid_t gid;
		int r = daemon_ids(d, &uids[d], &gid, e);
		if (r < 0)
			return r;
	}
	loaded = true;
	return 0;
}

enum daemon daemon_by_uid(uid_t uid)
{
	for (enum daemon d = 0; loaded && d < DAEMON_MAX; d++)
		if (uids[d] == uid)
			return d;
	return DAEMON_MAX;
}

int places_init(struct places *p, const char *root, const char *instance, struct err *e)
{
	if (!root || streq(root, "/"))
		root = "";
	if (!instance)
		instance = "ward";
	if (*root &&
	    (*root != '/' || str_ends(root, "/") || strstr(root, "/../") || str_ends(root, "/..")))
		return err_set(e, ERR_INVALID,
		    "--root must be an absolute path without a trailing slash, not \"%s\"", root);
	if (!str_is_name(instance, sizeof(p->instance) - 1))
		return err_set(e, ERR_INVALID,
		    "--instance must be 1 to %zu of a-z, 0-9 and -, not \"%s\"",
		    sizeof(p->instance) - 1, instance);
	if (strlen(root) + strlen(instance) + sizeof("/var/lib/") > sizeof(p->lib) - 1)
		return err_set(e, ERR_INVALID,
		    "--root is too long (sockets' paths have a limit): \"%s\"", root);
	str_copy(p->instance, sizeof(p->instance), instance);
	snprintf(p->etc, sizeof(p->etc), "%s/etc/%s", root, instance);
	snprintf(p->lib, sizeof(p->lib), "%s/var/lib/%s", root, instance);
	snprintf(p->run, sizeof(p->run), "%s/run/%s", root, instance);
	return 0;
}

int places_from_args(struct places *p, int *argc, char ***argv, struct err *e)
{
	const char *root = NULL, *instance = NULL;
	int out = 1;
	for (int i = 1; i < *argc; i++) {
		const char *a = (*argv)[i];
		const char **to = streq(a, "--root")       ? &root
				  : streq(a, "--instance") ? &instance
							   : NULL;
		if (!to) {
			(*argv)[out++] = (*argv)[i];
			continue;
		}
		if (++i >= *argc)
			return err_set(e, ERR_INVALID, "%s needs a value", a);
		*to = (*argv)[i];
	}
	*argc = out;
	(*argv)[out] = NULL;
	return places_init(p, root, instance, e);
}

int daemon_passed_fd(const char *name)
{
	enum { FIRST = 3 }; /* SD_LISTEN_FDS_START */
	uint64_t n;
	const char *count = getenv("LISTEN_FDS"), *list = getenv("LISTEN_FDNAMES");
	if (!count || !list || !str_u64(count, 64, &n))
		return -1;
	for (uint64_t i = 0; i < n; i++) {
		size_t len = strcspn(list, ":");
		if (len == strlen(name) && !memcmp(list, name, len)) {
			int fd = FIRST + (int)i;
			return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -1 : fd;
		}
		if (!list[len])
			break;
		list += len + 1;
	}
	return -1;
}
