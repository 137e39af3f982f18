/* ward-vault: holds the master key; seals, unseals, derives, signs and checks for the other
 * daemons.
 *
 *   ward-vault [--root DIR] [--instance NAME] [--key-file PATH --allow-key-file] [--leaf-days N]
 * [--base-domain NAME]
 *
 * Without a key file it starts sealed and waits for VAULT_UNLOCK. Its socket is the passed fd
 * "vault", its folder <lib>/vault. */
#include "base/confine.h"
#include "base/daemon.h"
#include "base/log.h"
#include "base/str.h"
#include "vault/ca.h"
#include "vault/serve.h"
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/stat.h>

static int parse(int argc, char **argv, struct vault_config *c, struct err *e)
{
	bool allowed = false;
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
		uint64_t n;
		if (streq(a, "--allow-key-file")) {
			allowed = true;
		} else if (streq(a, "--key-file") && value) {
			c->key_file = value;
			i++;
		} else if (streq(a, "--base-domain") && value) {
			c->base_domain = value;
			i++;
		} else if (streq(a, "--leaf-days") && value &&
			   str_u64(value, CA_LEAF_DAYS_MAX, &n) && n) {
			c->leaf_days = (int)n;
			i++;
		} else {
			return err_set(e, ERR_INVALID, "ward-vault does not understand \"%s\"", a);
		}
	}
	if (c->key_file && !allowed) {
		int r = err_set(e, ERR_WALL,
		    "a key file lies beside what it opens, so it does not protect a stolen disk");
		err_next(e, "use a passphrase, or say --allow-key-file (demo and tests)");
		return r;
	}
	return 0;
}

static int run(int argc, char **argv, struct err *e)
{
	struct places places;
	struct vault_config config = { .base_domain = "ward.localhost",
		.leaf_days = CA_LEAF_DAYS_DEFAULT };
	int r = places_from_args(&places, &argc, &argv, e);
	if (r == 0)
		r = parse(argc, argv, &config, e);
	if (r == 0)
		r = daemon_users_load(e);
	if (r < 0)
		return r;
	config.instance = places.instance;
	umask(077);
	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, "libsodium cannot start");
	int listen_fd = daemon_passed_fd("vault");
	if (listen_fd < 0)
		return err_set(e, ERR_INVALID, "no socket named \"vault\" was passed");
	int dir = open(places.lib, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int own = dir < 0 ? -errno : dir_open(dir, "vault", e);
	if (dir >= 0)
		close(dir);
	if (own < 0)
		return err_set(e, ERR_SYSTEM, "cannot open the folder %s/vault: %s", places.lib,
		    strerror(-own));

	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	sd_event *loop = NULL;
	if (sd_event_new(&loop) < 0 || sd_event_add_signal(loop, NULL, SIGTERM, NULL, NULL) < 0 ||
	    sd_event_add_signal(loop, NULL, SIGINT, NULL, NULL) < 0)
		return err_set(e, ERR_SYSTEM, "cannot make an event loop");

	struct vault *vault = NULL;
	struct vault_server *server = NULL;
	/* Files: its own folder (state, certificates, token) and the key file. Unix: accept. Mlock:
	 * keys never reach swap. */
	r = confine(CONFINE_FILES_READ | CONFINE_FILES_WRITE | CONFINE_UNIX | CONFINE_MLOCK, e);
	if (r == 0)
		r = vault_new(own, &config, &vault, e);
	if (r == 0)
		r = vault_serve(loop, listen_fd, vault, &server, e);
	if (r == 0) {
		log_info("ready (%s)", vault_state(vault));
		r = sd_event_loop(loop);
		if (r < 0)
			err_sys(e, -r, "the event loop failed");
	}
	vault_server_stop(server);
	vault_free(vault);
	sd_event_unref(loop);
	return r;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	log_init("ward-vault");
	if (run(argc, argv, &e) < 0) {
		log_err(&e, "cannot run");
		return 1;
	}
	return 0;
}
