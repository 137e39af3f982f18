/* The seccomp filter under everything in a cage, inherited by QEMU. A list of what is refused, not
 * of what is allowed: QEMU's needs change with its version. ward-link sets a narrower one on top.
 */
#include "base/util.h"
#include "jail/jail.h"
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Kill: neither QEMU nor ward-link does these, whoever took one over might. */
static const int killed[] = { SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
	SCMP_SYS(chroot), SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(fsopen),
	SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fspick), SCMP_SYS(mount_setattr),
	SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(bpf), SCMP_SYS(perf_event_open),
	SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load), SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(delete_module), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(reboot),
	SCMP_SYS(acct), SCMP_SYS(quotactl), SCMP_SYS(syslog), SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex), SCMP_SYS(iopl),
	SCMP_SYS(ioperm), SCMP_SYS(modify_ldt), SCMP_SYS(personality), SCMP_SYS(setuid),
	SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
	SCMP_SYS(setresgid), SCMP_SYS(setgroups), SCMP_SYS(capset), SCMP_SYS(name_to_handle_at),
	SCMP_SYS(open_by_handle_at), SCMP_SYS(fanotify_init), SCMP_SYS(lookup_dcookie),
	SCMP_SYS(vhangup), SCMP_SYS(nfsservctl), SCMP_SYS(kcmp), SCMP_SYS(pidfd_getfd),
	SCMP_SYS(process_madvise), SCMP_SYS(migrate_pages), SCMP_SYS(move_pages), SCMP_SYS(fork),
	SCMP_SYS(vfork), SCMP_SYS(execveat), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(symlink),
	SCMP_SYS(symlinkat), SCMP_SYS(mknod), SCMP_SYS(mknodat) };

/* No file that runs as the machine's user for whoever starts it: on the host's side of the
 * machine's folders it could. */
static int add_modes(scmp_filter_ctx ctx)
{
	enum { FCHMODAT2 = 452 }; /* newer than the library */
	static const struct {
		int call;
		unsigned arg;
	} changes[] = { { SCMP_SYS(chmod), 1 }, { SCMP_SYS(fchmod), 1 }, { SCMP_SYS(fchmodat), 2 },
		{ FCHMODAT2, 2 } };
	static const uint64_t bits[] = { S_ISUID, S_ISGID };
	int r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0);
	for (size_t b = 0; b < countof(bits); b++) {
		for (size_t i = 0; r == 0 && i < countof(changes); i++)
			r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, changes[i].call, 1,
			    SCMP_CMP(changes[i].arg, SCMP_CMP_MASKED_EQ, bits[b], bits[b]));
		if (r == 0)
			r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(creat), 1,
			    SCMP_A1(SCMP_CMP_MASKED_EQ, bits[b], bits[b]));
		/* without O_CREAT the mode may be anything */
		if (r == 0)
			r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(open), 2,
			    SCMP_A1(SCMP_CMP_MASKED_EQ, O_CREAT, O_CREAT),
			    SCMP_A2(SCMP_CMP_MASKED_EQ, bits[b], bits[b]));
		if (r == 0)
			r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(openat), 2,
			    SCMP_A2(SCMP_CMP_MASKED_EQ, O_CREAT, O_CREAT),
			    SCMP_A3(SCMP_CMP_MASKED_EQ, bits[b], bits[b]));
	}
	return r;
}

static int add_rules(scmp_filter_ctx ctx)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < countof(killed); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, killed[i], 0);
	/* threads, but no processes */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	if (r == 0)
		r = add_modes(ctx);
	if (r == 0) /* its flags cannot be seen: glibc falls back to clone */
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* a ring would walk around this filter; QEMU looks for it at its start and does without */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0);
	/* unix sockets alone: nothing that could reach further */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_NE, AF_UNIX));
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socketpair), 1,
		    SCMP_A0(SCMP_CMP_NE, AF_UNIX));
	return r;
}

int jail_set_filter(struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	if (!ctx)
		return err_set(e, ERR_NO_MEMORY, "no memory for the seccomp filter");
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = add_rules(ctx);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r < 0 ? err_set(e, ERR_WALL, "cannot set the seccomp filter: errno %d", -r) : 0;
}
