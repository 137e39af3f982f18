/* ward-image-fetch: brings an image's blobs to this host, from a registry or from an upload, and
 * keeps them by digest. It is in the host's network and understands nothing of what is in the
 * layers. */
#include "base/confine.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "image/blobs.h"
#include "image/fetch.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

static struct fetch self = { .skopeo = "/usr/bin/skopeo" };

static int answer_to(
    int conn, enum daemon peer, const struct image_ask *ask, int fd, char digest[65], struct err *e)
{
	bool api = peer == DAEMON_API;
	int r;
	switch (ask->head.type) {
	case IMAGE_FETCH: return fetch(&self, conn, ask, digest, e);
	case IMAGE_BLOB_PUT:
		r = ask_digest(ask, digest, e);
		if (r == 0 && !api)
			r = err_set(e, ERR_FORBIDDEN, "only ward-api stores blobs");
		if (r == 0 && fd < 0)
			r = err_set(e, ERR_PROTOCOL, "no fd came with the blob");
		return r == 0 ? blob_put(self.blobs, digest, fd, e) : r;
	case IMAGE_BLOB_HAS:
		r = ask_digest(ask, digest, e);
		if (r == 0 && blob_has(self.blobs, digest) < 0)
			r = err_set(e, ERR_NOT_FOUND, "the blob sha256:%s is not here", digest);
		return r;
	default:
		return err_set(
		    e, ERR_PROTOCOL, "image-fetch does not answer question %u", ask->head.type);
	}
}

static void answer(int conn, enum daemon peer, const struct image_ask *ask, int fd)
{
	char digest[65] = "";
	struct err e;
	int r = answer_to(conn, peer, ask, fd, digest, &e);
	answer_done(conn, ask, r, r == 0 ? digest : NULL, &e);
	/* that a blob is not here yet is an answer like another */
	if (r < 0 && !(ask->head.type == IMAGE_BLOB_HAS && r == -ENOENT))
		log_err(&e, "%s", ask->ref[0] ? ask->ref : ask->digest);
}

static int options(struct places *p, int argc, char **argv, struct err *e)
{
	int r = places_from_args(p, &argc, &argv, e);
	if (r < 0)
		return r;
	for (int i = 1; i < argc; i++) {
		if (streq(argv[i], "--insecure-registry") && i + 1 < argc &&
		    self.ninsecure < FETCH_INSECURE_MAX)
			self.insecure[self.ninsecure++] = argv[++i];
		else if (streq(argv[i], "--authfile") && i + 1 < argc)
			self.authfile = argv[++i];
		else
			return err_set(e, ERR_INVALID,
			    "usage: ward-image-fetch [--root DIR] [--instance NAME] "
			    "[--insecure-registry HOST[:PORT]]... [--authfile FILE]");
	}
	return 0;
}

static int open_folders(const struct places *p, struct err *e)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/blobs", p->lib);
	self.home_path = path;
	self.home = dir_open(AT_FDCWD, path, e);
	int r = self.home < 0 ? self.home : dir_make(self.home, "sha256", 0755, e);
	if (r < 0)
		return r;
	self.blobs = dir_open(self.home, "sha256", e);
	return self.blobs < 0 ? self.blobs : fetch_clean(&self, e);
}

int main(int argc, char **argv)
{
	static struct places places;
	struct err e;
	log_init("ward-image-fetch");
	signal(SIGPIPE, SIG_IGN);
	umask(022); /* the converter, another user, reads the blobs */
	int listen_fd = daemon_passed_fd("image-fetch");
	int r = options(&places, argc, argv, &e);
	if (r == 0 && listen_fd < 0)
		r = err_set(&e, ERR_INVALID, "no socket was passed under the name \"image-fetch\"");
	if (r == 0)
		r = daemon_users_load(&e);
	if (r == 0)
		r = open_folders(&places, &e);
	/* keeps blobs, speaks by one unix socket, and starts skopeo, which needs the network and
	 * threads */
	if (r == 0)
		r = confine(CONFINE_FILES_READ | CONFINE_FILES_WRITE | CONFINE_UNIX | CONFINE_INET |
				CONFINE_NETLINK | CONFINE_SPAWN | CONFINE_THREADS,
		    &e);
	if (r == 0)
		r = serve(listen_fd, 1U << DAEMON_AGENT | 1U << DAEMON_API, answer, &e);
	if (r < 0)
		log_err(&e, "ward-image-fetch");
	return 1;
}
