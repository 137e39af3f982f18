#include "base/str.h"
#include "supervisor/doctor.h"
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/genetlink.h>
#include <linux/if_tun.h>
#include <linux/landlock.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

void check_kernel(const struct doctor *d, struct check *c)
{
	struct utsname u = { 0 };
	char *dot = u.release;
	unsigned long major = uname(&u) ? 0 : strtoul(u.release, &dot, 10);
	unsigned long minor = *dot == '.' ? strtoul(dot + 1, NULL, 10) : 0;
	if (!major)
		check_set(c, CHECK_FAIL, NULL, "the kernel's version cannot be read");
	else if (!streq(u.machine, "x86_64"))
		check_set(c, CHECK_FAIL, "use an x86_64 host",
		    "Linux %s on %s; Ward's filters are for x86_64", u.release, u.machine);
	else if (major * 1000 + minor <
		 5012) /* mount_setattr, with which views are made read-only */
		check_set(c, CHECK_FAIL, "boot Debian 12's kernel (6.1) or a later one",
		    "Linux %s; 5.12 is needed", u.release);
	else
		check_set(c, CHECK_OK, NULL, "Linux %s, %s", u.release, u.machine);
}

void check_cgroup(const struct doctor *d, struct check *c)
{
	struct cgroups g;
	struct err e;
	if (cgroups_find(&g, &e) < 0) {
		check_set(c, CHECK_FAIL,
		    "mount cgroup v2 at /sys/fs/cgroup with the cpu, memory and pids controllers",
		    "%s", e.text);
		return;
	}
	int v2 = g.v2[CGROUP_CPU] + g.v2[CGROUP_MEMORY] + g.v2[CGROUP_PIDS];
	const char *which = v2 == CGROUP_MAX ? "v2" : v2 ? "v1 and v2 mixed" : "v1";
	if (access(g.mount[CGROUP_MEMORY], W_OK))
		check_set(c, CHECK_WARN, "run ward doctor as root for the whole answer",
		    "version %s; not writable for this user", which);
	else
		check_set(c, CHECK_OK, NULL, "version %s: cpu, memory and pids at %s", which,
		    g.mount[CGROUP_MEMORY]);
}

void check_seccomp(const struct doctor *d, struct check *c)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action))
		check_set(c, CHECK_FAIL, "boot a kernel with CONFIG_SECCOMP_FILTER",
		    "no seccomp filters: %s", strerror(errno));
	else
		check_set(c, CHECK_OK, NULL, "filters that kill the process are available");
}

void check_landlock(const struct doctor *d, struct check *c)
{
	long version =
	    syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 0)
		check_set(c, CHECK_ABSENT, NULL, "Landlock: %s; mount namespaces hold without it",
		    strerror(errno));
	else
		check_set(c, CHECK_OK, NULL, "Landlock ABI %ld", version);
}

void check_tun(const struct doctor *d, struct check *c)
{
	cleanup_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	unsigned features = 0;
	if (fd >= 0 && ioctl(fd, TUNGETFEATURES, &features) == 0)
		check_set(c, CHECK_OK, NULL, "/dev/net/tun%s",
		    features & IFF_VNET_HDR ? ", with segmentation offloads" : "");
	else if (errno == EACCES || errno == EPERM)
		check_set(c, CHECK_WARN, "run ward doctor as root for the whole answer",
		    "/dev/net/tun is not this user's to open");
	else
		check_set(c, CHECK_FAIL, "load the tun module (modprobe tun)", "/dev/net/tun: %s",
		    strerror(errno));
}

/* Does generic netlink know this family? Asking makes the kernel load its module. */
static int has_family(const char *name)
{
	struct {
		struct nlmsghdr n;
		struct genlmsghdr g;
		struct nlattr a;
		char name[16];
	} ask = { .n = { sizeof(ask), GENL_ID_CTRL, NLM_F_REQUEST, 1, 0 },
		.g = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 },
		.a = { sizeof(struct nlattr) + sizeof(ask.name), CTRL_ATTR_FAMILY_NAME } };
	char answer[4096];
	struct timeval bound = { .tv_sec = 3 };
	str_copy(ask.name, sizeof(ask.name), name);
	cleanup_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound)) ||
	    send(fd, &ask, sizeof(ask), 0) < 0)
		return -errno;
	ssize_t n = recv(fd, answer, sizeof(answer), 0);
	struct nlmsghdr head;
	if (n < (ssize_t)sizeof(head))
		return n < 0 ? -errno : -EPROTO;
	memcpy(&head, answer, sizeof(head));
	return head.nlmsg_type == GENL_ID_CTRL ? 0 : -ENOENT;
}

void check_wireguard(const struct doctor *d, struct check *c)
{
	if (has_family("wireguard") == 0)
		check_set(c, CHECK_OK, NULL, "in the kernel");
	else
		check_set(c, CHECK_ABSENT, NULL,
		    "not in this kernel; a mesh of several hosts would use Ward's own, which is "
		    "slower");
}

void check_bpf(const struct doctor *d, struct check *c)
{
	/* return 0: the smallest program there is */
	struct bpf_insn code[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0 },
		{ .code = BPF_JMP | BPF_EXIT } };
	union bpf_attr attr = { 0 };
	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = countof(code);
	attr.license = (uintptr_t) "GPL";
	cleanup_close int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	bool btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
	if (fd >= 0)
		check_set(c, CHECK_OK, NULL, "programs load; type information (BTF) is %s",
		    btf ? "there" : "not there");
	else
		check_set(c, CHECK_ABSENT,
		    errno == EPERM ? "run ward doctor as root for the whole answer" : NULL,
		    "programs do not load: %s; the firewall is nftables alone", strerror(errno));
}
