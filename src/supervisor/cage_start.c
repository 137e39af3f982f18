#include "supervisor/cage_start.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "base/str.h"
#include "proto/jail_spec.h"
#include "supervisor/cage_files.h"
#include "supervisor/logs.h"
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum {
	JAIL_MS = 10000,
	/* besides the guest's memory: the monitor itself, its translation cache, the link and its
	   ring */
	OVERHEAD_MIB = 320,
	LINK_MIB = 128,
	PIDS = 128,
};

/* One path component of letters, digits, dots, signs: never "..", never hidden. */
static bool is_file_name(const char *s)
{
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-_~";
	return *s && *s != '.' && !s[strspn(s, letters)];
}

static void fill_vmm(struct vmm_spec *v, const struct wardd_cage_start *ask)
{
	*v = (struct vmm_spec){ .version = VMM_SPEC_VERSION,
		.role = ask->role,
		.engine = ask->engine,
		.cpus = ask->cpus,
		.memory_mib = ask->memory_mib,
		.generation = ask->generation };
	memcpy(v->machine, ask->machine, sizeof(v->machine));
	memcpy(v->mac, ask->mac, sizeof(v->mac));
	memcpy(v->token, ask->token, sizeof(v->token));
}

int cage_start_check(
    const struct settings *s, const struct wardd_cage_start *ask, int tap, struct err *e)
{
	struct vmm_spec v;
	fill_vmm(&v, ask);
	int r = vmm_spec_check(&v, e);
	if (r < 0)
		return r;
	if (ask->slot > WARDD_SLOT_MAX)
		return err_set(e, ERR_INVALID, "slot %u is above %d", ask->slot, WARDD_SLOT_MAX);
	if (ask->role != WARDD_ROLE_MONITOR)
		return tap < 0 ? 0 : err_set(e, ERR_PROTOCOL, "a link has no tap");
	if (!settings_allows_engine(s, ask->engine))
		return ask->engine == WARDD_ENGINE_EMULATED
			   ? err_set(e, ERR_EMULATION,
				 "the platform's file does not allow machines without hardware "
				 "isolation")
			   : err_set(e, ERR_UNSUPPORTED,
				 "the platform's file names another engine than KVM");
	if (!memchr(ask->kernel, 0, sizeof(ask->kernel)) || !is_file_name(ask->kernel))
		return err_set(e, ERR_INVALID, "the kernel's name is not a plain file name");
	if (!memchr(ask->root, 0, sizeof(ask->root)) || !str_is_hex(ask->root, 64))
		return err_set(e, ERR_INVALID, "the root disk's name must be 64 hex digits");
	struct ifreq ifr = { 0 };
	if (tap < 0 || ioctl(tap, TUNGETIFF, &ifr) || !(ifr.ifr_flags & IFF_TAP))
		return err_set(e, ERR_PROTOCOL, "a monitor needs an open tap");
	return 0;
}

int cage_start_limits(
    const struct settings *s, const struct wardd_cage_start *ask, const char *cgroup, struct err *e)
{
	struct cgroup_limits l = { .pids = PIDS, .memory = (uint64_t)LINK_MIB << 20 };
	if (ask->role == WARDD_ROLE_MONITOR) {
		l.memory = (uint64_t)(ask->memory_mib + OVERHEAD_MIB) << 20;
		/* the guest's CPUs, and a little for the threads that serve its devices */
		l.cpu_percent = ask->cpus * 100 + 25;
	} else if (cgroup_exists(&s->cgroups, cgroup)) {
		l.memory = 0; /* a link that comes back beside its monitor leaves the monitor's
				 limit alone */
	}
	return cgroup_make(&s->cgroups, cgroup, &l, e);
}

static int spec_fd(const struct settings *s, const struct wardd_cage_start *ask, struct err *e)
{
	struct jail_spec j = { .version = JAIL_SPEC_VERSION, .uid = WARDD_UID_BASE + ask->slot };
	str_copy(j.instance, sizeof(j.instance), s->places.instance);
	str_copy(j.lib, sizeof(j.lib), s->places.lib);
	str_copy(j.run, sizeof(j.run), s->places.run);
	str_copy(j.libexec, sizeof(j.libexec), s->libexec);
	if (ask->role == WARDD_ROLE_MONITOR) {
		str_copy(j.kernel, sizeof(j.kernel), ask->kernel);
		str_copy(j.root, sizeof(j.root), ask->root);
	}
	fill_vmm(&j.vmm, ask);
	cleanup_close int fd = memfd_create("jail-spec", MFD_CLOEXEC);
	if (fd < 0 || io_write_all(fd, &j, sizeof(j)) < 0 || lseek(fd, 0, SEEK_SET))
		return err_sys(e, errno, "cannot write the cage's description");
	return steal_fd(&fd);
}

/* One report of ward-jail. *ret_len 0: it became the program, or died. */
static int report_next(
    int report, uint64_t end, struct err *said, size_t *ret_len, int *fd, struct err *e)
{
	struct pollfd p = { .fd = report, .events = POLLIN };
	for (;;) {
		uint64_t now = clock_mono_ms();
		int k = poll(&p, 1, now < end ? (int)(end - now) : 0);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return err_set(
			    e, ERR_TIMEOUT, "the cage was not ready within %d ms", JAIL_MS);
		size_t nfds = 1;
		int r = ipc_recv(report, said, sizeof(*said), ret_len, fd, &nfds, e);
		if (r == 0 && *ret_len && *ret_len != sizeof(*said))
			r = err_set(e, ERR_PROTOCOL, "ward-jail's report has %zu bytes", *ret_len);
		return r;
	}
}

static int await(int report, int *ret_console, struct err *e)
{
	uint64_t end = clock_mono_ms() + JAIL_MS;
	cleanup_close int console = -1;
	for (bool ready = false;;) {
		struct err said = { 0 };
		size_t len = 0;
		int fd = -1, r = report_next(report, end, &said, &len, &fd, e);
		if (r < 0)
			return r;
		if (!len && ready)
			break;
		if (!len)
			return err_set(e, ERR_WALL, "ward-jail died before the cage stood");
		if (said.code != ERR_NONE) {
			said.text[sizeof(said.text) - 1] = said.next[sizeof(said.next) - 1] = 0;
			*e = said;
			return err_prefix(e, -EIO, "cage");
		}
		ready = true;
		if (fd >= 0)
			console = fd;
	}
	*ret_console = steal_fd(&console);
	return 0;
}

int cage_start_process(const struct settings *s, const struct wardd_cage_start *ask, int tap,
    int *ret_console, pid_t *ret_pid, struct err *e)
{
	char program[sizeof(s->libexec) + 16], log_name[32];
	int r = cage_files_give(s, ask->machine, ask->role, WARDD_UID_BASE + ask->slot, e);
	if (r < 0)
		return r;
	snprintf(program, sizeof(program), "%s/ward-jail", s->libexec);
	snprintf(log_name, sizeof(log_name), "machine-%s", ask->machine);
	cleanup_close int log = logs_open(s->log_dir, log_name, e);
	if (log < 0)
		return log;
	cleanup_close int spec = spec_fd(s, ask, e);
	if (spec < 0)
		return spec;
	cleanup_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int p[2];
	if (null < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p))
		return err_sys(e, errno, "cannot make a socket");
	cleanup_close int report = p[0], report_end = p[1];
	const char *const argv[] = { program, NULL };
	const struct spawn_fd fds[] = { { spec, "spec" }, { tap >= 0 ? tap : null, "tap" },
		{ report_end, "report" } };
	const struct spawn spawn = { .path = program,
		.argv = argv,
		.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = log,
		.fds = fds,
		.nfds = countof(fds),
		.namespaces = CLONE_NEWPID };
	pid_t pid;
	r = spawn_start(&spawn, &pid, NULL, e);
	if (r < 0)
		return r;
	close(steal_fd(&report_end));
	r = await(report, ret_console, e);
	if (r < 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return r;
	}
	*ret_pid = pid;
	return 0;
}
