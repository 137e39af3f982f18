/* ward-store-setup: brings etcd's users, roles and authentication to what this version of Ward
 * needs; wardd runs it as ward-etcd each time that etcd was started.
 *
 *   ward-store-setup [--root DIR] [--instance NAME] --host NAME [--region NAME]
 *
 * Passwords come as passed fds "store-password-<name>", 64 hex digits each, for root and for each
 * daemon of the key table (others are not looked at). Ends 0 when the store is ready. May be
 * repeated, and be cut at any point. */
#include "base/confine.h"
#include "base/log.h"
#include "base/str.h"
#include "store/auth.h"
#include "store/passed.h"
#include <sys/stat.h>

enum { WAIT_MS = 60000 };

struct secrets {
	char root[STORE_PASSWORD_TEXT + 1], of[DAEMON_MAX][STORE_PASSWORD_TEXT + 1];
};

static int read_passwords(struct secrets *kept, struct store_passwords *p, struct err *e)
{
	int r = store_read_password("store-password-root", kept->root, e);
	p->root = kept->root;
	for (enum daemon d = 0; r == 0 && d < DAEMON_MAX; d++) {
		char name[40];
		if (!store_has_user(d))
			continue;
		snprintf(name, sizeof(name), "store-password-%s", daemon_name(d));
		r = store_read_password(name, kept->of[d], e);
		p->of[d] = kept->of[d];
	}
	return r;
}

/* The members' own listener knows no users: whoever reaches it could write anything. With one
 * member nobody has to. */
static int close_peers(const struct places *places, struct err *e)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/etcd/peer.sock:0", places->run);
	if (chmod(path, 0) && errno != ENOENT)
		return err_sys(
		    e, errno, "cannot close the store's listener for other members, %s", path);
	return 0;
}

static int parse(int argc, char **argv, const char **ret_host, struct err *e)
{
	const char *host = NULL;
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc || (!streq(argv[i], "--host") && !streq(argv[i], "--region")))
			return err_set(
			    e, ERR_INVALID, "ward-store-setup does not understand \"%s\"", argv[i]);
		if (streq(argv[i], "--host"))
			host = argv[i + 1];
	}
	if (!host || !str_is_name(host, 63))
		return err_set(e, ERR_INVALID, "ward-store-setup needs --host NAME");
	*ret_host = host;
	return 0;
}

static int run(int argc, char **argv, struct err *e)
{
	struct places places;
	int r = places_from_args(&places, &argc, &argv, e);
	if (r < 0)
		return r;
	char path[108];
	const char *host = NULL;
	struct secrets secrets;
	struct store_passwords passwords = { 0 };
	r = parse(argc, argv, &host, e);
	if (r == 0)
		r = store_socket_path(&places, path, e);
	if (r == 0)
		r = read_passwords(&secrets, &passwords, e);
	/* unix: etcd; files: what libcurl opens at its start; write: the mode of a socket */
	if (r == 0)
		r = confine(CONFINE_UNIX | CONFINE_FILES_READ | CONFINE_FILES_WRITE, e);
	struct store *root = NULL;
	if (r == 0)
		r = store_open(path, "root", passwords.root, STORE_TIMEOUT_MS, &root, e);
	unsigned changes = 0;
	bool lifted = false;
	if (r == 0)
		r = store_auth_apply(root, host, &passwords, WAIT_MS, &changes, e);
	if (r == 0)
		r = close_peers(&places, e);
	if (r == 0)
		r = store_maintain(root, &lifted, e);
	if (r == 0)
		log_info("the store is ready (%u changes to users and roles)%s", changes,
		    lifted ? "; its no-space alarm was lifted" : "");
	store_close(root);
	explicit_bzero(&secrets, sizeof(secrets));
	return r;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	log_init("ward-store-setup");
	if (run(argc, argv, &e) < 0) {
		log_err(&e, "cannot set up the store");
		return 1;
	}
	return 0;
}
