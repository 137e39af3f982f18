/* ward-unlock: gives the vault its passphrase. Root only, on the host itself: the passphrase never
 * crosses the API. What `ward vault unlock` runs.
 *
 *   ward-unlock [--root DIR] [--instance NAME] [--json] */
#include "base/daemon.h"
#include "base/str.h"
#include "proto/ipc_vault.h"
#include "vault/master.h"
#include "vault/secret.h"
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

enum { LINE = PASSPHRASE_MAX + 2 };

static struct termios saved;

static void echo_back(int sig)
{
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	if (sig)
		_exit(128 + sig);
}

/* One line without its end. From a terminal without echo, which comes back whatever happens. */
static int line_read(const char *prompt, char line[LINE], size_t *ret_len, struct err *e)
{
	bool tty = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &saved) == 0;
	if (tty) {
		struct termios quiet = saved;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		signal(SIGINT, echo_back);
		signal(SIGTERM, echo_back);
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
		fprintf(stderr, "%s: ", prompt);
	}
	size_t n = 0;
	ssize_t r = 0;
	while (n < LINE && (r = read(STDIN_FILENO, line + n, 1)) == 1 && line[n] != '\n')
		n++;
	if (tty) {
		echo_back(0);
		fputc('\n', stderr);
	}
	if (r < 0)
		return err_sys(e, errno, "reading the passphrase");
	if (n < PASSPHRASE_MIN || n > PASSPHRASE_MAX)
		return err_set(e, ERR_INVALID, "a passphrase has %d to %d bytes; this one has %s",
		    PASSPHRASE_MIN, PASSPHRASE_MAX, n > PASSPHRASE_MAX ? "more" : "fewer");
	*ret_len = n;
	return 0;
}

/* The first passphrase is asked for twice: a slip would lock everything away for good. */
static int passphrase(bool first, char line[LINE], size_t *ret_len, struct err *e)
{
	int r = line_read(
	    first ? "A new passphrase for this vault" : "The vault's passphrase", line, ret_len, e);
	if (r < 0 || !first || !isatty(STDIN_FILENO))
		return r;
	cleanup_secret char *again = NULL;
	size_t len;
	r = secret_new(LINE, (void **)&again, e);
	if (r == 0)
		r = line_read("The same once more", again, &len, e);
	if (r == 0 && (len != *ret_len || sodium_memcmp(line, again, len) != 0))
		r = err_set(e, ERR_INVALID, "the two are not the same; nothing was set");
	return r;
}

static int unlock(const struct places *p, char state[240], struct err *e)
{
	char path[160];
	struct bytes none = { 0 };
	int r = vault_call(p->run, VAULT_STATUS, "", "", none, NULL, state, e);
	if (r < 0) {
		err_next(e, "start the platform first: systemctl start ward");
		return r;
	}
	if (!streq(state, "sealed"))
		return 0;
	snprintf(path, sizeof(path), "%s/vault/vault.json", p->lib);
	cleanup_secret char *line = NULL;
	size_t len = 0;
	r = secret_new(LINE, (void **)&line, e);
	if (r == 0)
		r = passphrase(access(path, F_OK) < 0, line, &len, e);
	if (r == 0)
		r = vault_call(
		    p->run, VAULT_UNLOCK, "", "", (struct bytes){ line, len }, NULL, NULL, e);
	return r < 0 ? r : vault_call(p->run, VAULT_STATUS, "", "", none, NULL, state, e);
}

static int run(int argc, char **argv, struct err *e)
{
	struct places places;
	char state[240] = "";
	bool json;
	int r = places_from_args(&places, &argc, &argv, e);
	if (r < 0)
		return r;
	json = argc == 2 && streq(argv[1], "--json");
	if (argc > 1 && !json)
		return err_set(
		    e, ERR_INVALID, "usage: ward-unlock [--root DIR] [--instance NAME] [--json]");
	if (geteuid() != 0) {
		r = err_set(e, ERR_FORBIDDEN, "only root may open the vault");
		err_next(e, "run `ward vault unlock` as root on the platform's host");
		return r;
	}
	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, "libsodium cannot start");
	r = unlock(&places, state, e);
	if (r == 0 && json)
		printf("{\"vault\": \"%s\"}\n", state);
	else if (r == 0)
		fprintf(stderr, "the vault is %s\n", state);
	return r;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	if (run(argc, argv, &e) == 0)
		return 0;
	const char *next = err_next_step(&e);
	fprintf(stderr, "error: %s [%s]\n", e.text, err_code_name(e.code));
	if (next && *next)
		fprintf(stderr, "next: %s\n", next);
	return 1;
}
