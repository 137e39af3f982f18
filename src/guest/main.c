/* ward-init: pid 1 of every machine. It stays in the initramfs; the app lives in a mount namespace
 * of its own (root.h). */
#include "base/file.h"
#include "base/str.h"
#include "guest/app.h"
#include "guest/calls.h"
#include "guest/logs.h"
#include "guest/loop.h"
#include "guest/modules.h"
#include "guest/power.h"
#include "guest/proc.h"
#include "guest/root.h"
#include "guest/say.h"
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

static uint8_t token[GUEST_TOKEN_LEN], boot_id[GUEST_BOOT_ID_LEN];
static char boot_hex[2 * GUEST_BOOT_ID_LEN + 1];
static uint8_t public_key[crypto_box_PUBLICKEYBYTES], secret_key[crypto_box_SECRETKEYBYTES];
static char public_hex[2 * crypto_box_PUBLICKEYBYTES + 1];

/* ward.token=<64 hex digits> of the kernel's command line. */
static bool read_token(void)
{
	char line[4096];
	cleanup_close int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
	if (n <= 0)
		return false;
	line[n] = 0;
	char *p = strstr(line, "ward.token=");
	if (!p)
		return false;
	p += strlen("ward.token=");
	p[strcspn(p, " \n")] = 0;
	return hex_decode(token, sizeof token, p);
}

/* Random, and the boot's own: the kernel's would do, but is readable by the app's users, and this
 * one too is no secret. */
static void make_identity(void)
{
	randombytes_buf(boot_id, sizeof boot_id);
	hex_encode(boot_hex, boot_id, sizeof boot_id);
	crypto_box_keypair(public_key, secret_key);
	hex_encode(public_hex, public_key, sizeof public_key);
}

int main(void)
{
	if (getpid() != 1) {
		fprintf(stderr, "ward-init is a machine's first process; it does nothing here\n");
		return 1;
	}
	(void)!chdir("/");
	umask(022);
	loop_init();
	root_mount_early();
	if (sodium_init() < 0 || !read_token()) {
		say("no ward.token= on the kernel's command line, or no random numbers");
		power_off();
	}
	/* An out-of-memory kill must never take pid 1 (the machine would panic); children get 0
	 * back. */
	cleanup_close int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	(void)!write(score, "-1000", 5);
	proc_init();
	make_identity();
	modules_load();
	calls_init(boot_hex, public_hex);
	if (!logs_start(token, boot_id) || !control_start(token, calls_table, calls_count)) {
		say("a port to the host is missing (ward.control, ward.log)");
		power_off();
	}
	for (;;) {
		loop_run_once();
		control_flush();
	}
}
