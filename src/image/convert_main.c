/* ward-image-convert: turns the blobs of an image, all of them untrusted, into a root disk. No
 * network; a user of its own; and each image in a cage with nothing but open files. */
#include "base/confine.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "image/convert.h"
#include <fcntl.h>
#include <signal.h>

static struct convert self = { .blobs = -1, .tar2sqfs = "/usr/bin/tar2sqfs" };
static char images_path[128], blobs_path[128];

static void answer(int conn, enum daemon peer, const struct image_ask *ask, int fd)
{
	char digest[65], root[65] = "";
	struct err e;
	int r = ask->head.type == IMAGE_CONVERT
		    ? ask_digest(ask, digest, &e)
		    : err_set(&e, ERR_PROTOCOL, "the converter does not answer question %u",
			  ask->head.type);
	if (r == 0) /* here and not at the start: image-fetch may make the folder after us */
		self.blobs = r = dir_open(AT_FDCWD, blobs_path, &e);
	if (r >= 0)
		r = convert(&self, digest, conn, ask, root, &e);
	if (self.blobs >= 0)
		close(steal_fd(&self.blobs));
	answer_done(conn, ask, r, r == 0 ? root : NULL, &e);
	if (r < 0)
		log_err(&e, "%s", ask->digest);
}

static int open_folders(const struct places *p, struct err *e)
{
	snprintf(images_path, sizeof(images_path), "%s/images", p->lib);
	snprintf(blobs_path, sizeof(blobs_path), "%s/blobs/sha256", p->lib);
	self.images_path = images_path;
	self.images = dir_open(AT_FDCWD, images_path, e);
	return self.images < 0 ? self.images : convert_clean(&self, e);
}

int main(int argc, char **argv)
{
	static struct places places;
	struct err e;
	log_init("ward-image-convert");
	signal(SIGPIPE, SIG_IGN);
	int listen_fd = daemon_passed_fd("image-convert");
	int r = places_from_args(&places, &argc, &argv, &e);
	if (r == 0 && argc > 1)
		r = err_set(
		    &e, ERR_INVALID, "usage: ward-image-convert [--root DIR] [--instance NAME]");
	if (r == 0 && listen_fd < 0)
		r = err_set(
		    &e, ERR_INVALID, "no socket was passed under the name \"image-convert\"");
	if (r == 0)
		r = daemon_users_load(&e);
	if (r == 0)
		r = open_folders(&places, &e);
	/* reads blobs, writes root disks, starts the caged children; speaks by one unix socket */
	if (r == 0)
		r = confine(CONFINE_FILES_READ | CONFINE_FILES_WRITE | CONFINE_UNIX |
				CONFINE_SPAWN | CONFINE_THREADS,
		    &e);
	if (r == 0)
		r = serve(listen_fd, 1U << DAEMON_AGENT, answer, &e);
	if (r < 0)
		log_err(&e, "ward-image-convert");
	return 1;
}
