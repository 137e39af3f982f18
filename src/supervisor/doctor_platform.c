#include "base/str.h"
#include "proto/ipc_vault.h"
#include "proto/ipc_wardd.h"
#include "supervisor/doctor.h"

void check_file(const struct doctor *d, struct check *c)
{
	char path[96];
	snprintf(path, sizeof(path), "%s/ward.toml", d->places->etc);

	if (d->platform_error.code != ERR_NONE)
		check_set(c, CHECK_FAIL, err_next_step(&d->platform_error), "%s/ward.toml: %.200s",
		    d->places->etc, d->platform_error.text);
	else if (access(path, F_OK))
		check_set(
		    c, CHECK_OK, NULL, "%s is not there: all settings have their defaults", path);
	else
		check_set(c, CHECK_OK, NULL, "%s/ward.toml, host \"%s\"", d->places->etc,
		    d->platform.host.name);
}

void check_engine(const struct doctor *d, struct check *c)
{
	if (d->platform.machines.engine == PLATFORM_ENGINE_EMULATED)
		check_set(c, CHECK_WARN,
		    "for demonstrations and tests only; real data needs a host with KVM",
		    "software emulation, by the platform's file: NOT an isolation boundary");
	else
		check_set(c, CHECK_FAIL,
		    "set engine = \"emulated\" in [machines] for a demonstration",
		    "the KVM monitor is not in this release, and emulation is not allowed by the "
		    "platform's file");
}

static bool vault_is_sealed(const struct doctor *d)
{
	char state[240];
	struct err e;
	return vault_call(d->places->run, VAULT_STATUS, "", "", (struct bytes){ 0 }, NULL, state,
		   &e) == 0 &&
	       streq(state, "sealed");
}

void check_key(const struct doctor *d, struct check *c)
{
	if (d->platform.vault.key_file)
		check_set(c, CHECK_WARN, "use a passphrase (remove key_file from [vault])",
		    "NOT MET: the master key lies in a file on the same disk");
	else if (vault_is_sealed(d))
		check_set(c, CHECK_FAIL, "ward vault unlock",
		    "the vault is sealed: it waits for its passphrase, and all else for it");
	else
		check_set(c, CHECK_OK, NULL, "the master key is opened by a passphrase");
}

void check_guest(const struct doctor *d, struct check *c)
{
	static const char *const files[] = { "vmlinux", "initrd" };
	for (size_t i = 0; i < countof(files); i++) {
		char path[160];
		snprintf(path, sizeof(path), "%s/guest/current/%s", d->places->lib, files[i]);
		if (access(path, R_OK)) {
			check_set(c, CHECK_WARN, "prepare the guest's kernel: scripts/guest",
			    "%s is missing", path);
			return;
		}
	}
	check_set(c, CHECK_OK, NULL, "kernel and initrd at %s/guest/current", d->places->lib);
}

static int ask(const struct doctor *d, struct wardd_status *ret, struct err *e)
{
	char path[108];
	int raw = -1;
	snprintf(path, sizeof(path), "%s/wardd.sock", d->places->run);
	int r = ipc_connect(path, &raw, e);
	cleanup_close int fd = raw;
	if (r < 0)
		return r;
	struct ipc_head q = { WARDD_STATUS, WARDD_VERSION, 1 };
	return ipc_call(fd, &q, sizeof(q), NULL, 0, ret, sizeof(*ret), NULL, NULL, 5000, e);
}

void check_daemons(const struct doctor *d, struct check *c)
{
	static struct wardd_status s;
	struct err e;
	int r = ask(d, &s, &e);
	if (r == -ENOENT || r == -ECONNREFUSED) {
		check_set(c, CHECK_ABSENT, "start it: systemctl start ward, or make demo",
		    "the platform \"%s\" does not run here", d->places->instance);
		return;
	}
	if (r < 0 || s.count > DAEMON_MAX) {
		check_set(c, CHECK_WARN, "run ward doctor as root for the whole answer",
		    "wardd does not say: %.200s", r < 0 ? e.text : "a strange answer");
		return;
	}
	char down[200] = "";
	uint32_t restarts = 0;
	for (uint32_t i = 0; i < s.count; i++) {
		size_t at = strlen(down);
		restarts += s.daemon[i].restarts;
		if (!s.daemon[i].pid)
			snprintf(down + at, sizeof(down) - at, " %.19s", s.daemon[i].name);
	}
	char next[120];
	snprintf(next, sizeof(next), "read %s/log/", d->places->lib);
	if (down[0])
		check_set(c, CHECK_FAIL, next, "down:%s", down);
	else
		check_set(c, restarts ? CHECK_WARN : CHECK_OK, restarts ? next : NULL,
		    "all %u run; %u restarts", s.count, restarts);
}
