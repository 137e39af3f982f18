/* ward-store-setup: brings etcd's users, roles and authentication to what this version of Ward
 * needs; wardd runs it at each start.
 *
 *   ward-store-setup [--root DIR] [--instance NAME] --host NAME
 *
 * The passed fd "store-passwords" has one line "<name> <64 hex>" for root and for each daemon that
 * uses the store (others are fine too). Ends 0 when the store is ready. May be repeated, and be cut
 * at any point. */
#include "base/confine.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "store/auth.h"
#include "store/passed.h"

enum { WAIT_MS = 60000, LINES_MAX = 4096 };

static int read_passwords(char text[LINES_MAX], struct store_passwords *p, struct err *e)
{
	cleanup_close int fd = daemon_passed_fd("store-passwords");
	if (fd < 0)
		return err_set(e, ERR_INVALID, "no fd named \"store-passwords\" was passed");
	size_t n = 0;
	for (ssize_t k = 1; k > 0 && n < LINES_MAX - 1; n += (size_t)MAX(k, 0)) {
		do
			k = read(fd, text + n, LINES_MAX - 1 - n);
		while (k < 0 && errno == EINTR);
		if (k < 0)
			return err_sys(e, errno, "cannot read the store passwords");
	}
	text[n] = 0;
	char *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *password = strchr(line, ' ');
		if (!password || !str_is_hex(password + 1, STORE_PASSWORD_TEXT))
			return err_set(
			    e, ERR_INVALID, "a line of the store passwords is not \"name hex\"");
		*password++ = 0;
		if (streq(line, "root"))
			p->root = password;
		for (enum daemon d = 0; d < DAEMON_MAX; d++)
			if (streq(line, daemon_name(d)))
				p->of[d] = password;
	}
	return p->root ? 0 : err_set(e, ERR_INVALID, "the store passwords have no line for root");
}

static int run(int argc, char **argv, struct err *e)
{
	struct places places;
	int r = places_from_args(&places, &argc, &argv, e);
	if (r < 0)
		return r;
	if (argc != 3 || !streq(argv[1], "--host") || !str_is_name(argv[2], 63))
		return err_set(e, ERR_INVALID, "ward-store-setup needs --host NAME");
	char path[108], lines[LINES_MAX];
	struct store_passwords passwords = { 0 };
	r = store_socket_path(&places, path, e);
	if (r == 0)
		r = read_passwords(lines, &passwords, e);
	if (r == 0)
		r = confine(CONFINE_UNIX | CONFINE_FILES_READ,
		    e); /* unix: etcd; files: what libcurl opens at its start */
	struct store *root = NULL;
	if (r == 0)
		r = store_open(path, "root", passwords.root, STORE_TIMEOUT_MS, &root, e);
	unsigned changes = 0;
	bool lifted = false;
	if (r == 0)
		r = store_auth_apply(root, argv[2], &passwords, WAIT_MS, &changes, e);
	if (r == 0)
		r = store_maintain(root, &lifted, e);
	if (r == 0)
		log_info("the store is ready (%u changes to users and roles)%s", changes,
		    lifted ? "; its no-space alarm was lifted" : "");
	store_close(root);
	explicit_bzero(lines, sizeof(lines));
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
