/* The emulated engine: QEMU with TCG as the CPU. Not an isolation boundary (QEMU says so of TCG);
 * it runs where the platform's file allows it by name. */
#include "base/buf.h"
#include "base/str.h"
#include "vmm/engine.h"
#include "vmm/tsc.h"
#include <fcntl.h>

#define QEMU "/usr/bin/qemu-system-x86_64"

enum { ARGS_MAX = 96, ARG_BYTES = 8192 };
struct args {
	char *v[ARGS_MAX + 1];
	size_t n;
	struct buf text; /* each argument, NUL-terminated; never grows past its first reservation */
	int failed;
};

static void printf_like(2, 3) arg(struct args *a, const char *fmt, ...)
{
	char one[1024];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(one, sizeof(one), fmt, ap);
	va_end(ap);
	if (a->failed || a->n == ARGS_MAX || n < 0 || (size_t)n >= sizeof(one) ||
	    a->text.len + (size_t)n + 1 > ARG_BYTES || buf_add(&a->text, one, (size_t)n + 1) < 0) {
		a->failed = -E2BIG;
		return;
	}
	a->v[a->n++] = a->text.data + a->text.len - (size_t)n - 1;
}

static void option(struct args *a, const char *name, const char *value)
{
	arg(a, "%s", name);
	arg(a, "%s", value);
}

/* What pays by measurement, and nothing that lowers the guest kernel's own protections. Without
 * ACPI the kernel starts faster, but then it finds one CPU only, and no clock to measure the TSC
 * against: it is told its speed (else it would count jiffies, and time would have steps of 4 ms).
 */
static void kernel_line(struct args *a, const struct vmm_spec *s)
{
	char token[2 * sizeof(s->token) + 1], clock[64] = "";
	uint64_t khz = tsc_khz();
	hex_encode(token, s->token, sizeof(s->token));
	if (khz)
		snprintf(clock, sizeof(clock), "tsc=reliable tsc_early_khz=%llu ",
		    (unsigned long long)khz);
	arg(a, "-append");
	arg(a,
	    "console=ttyS0 quiet loglevel=4 panic=-1 reboot=t rdinit=/init cryptomgr.notests "
	    "no_timer_check "
	    "initcall_blacklist=load_system_certificate_list,trace_eval_init random.trust_cpu=on "
	    "%s%sward.token=%s",
	    clock, khz && s->cpus == 1 ? "acpi=off noapictimer " : "", token);
}

static void machine(struct args *a, const struct vmm_spec *s)
{
	arg(a, "qemu-system-x86_64");
	option(a, "-name", s->machine);
	option(a, "-nodefaults", "-no-user-config");
	option(a, "-display", "none");
	option(a, "-monitor", "none");
	arg(a, "-no-reboot");
	option(a, "-sandbox",
	    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	option(a, "-M",
	    "pc,memory-backend=ram,usb=off,vmport=off,smm=off,hpet=off,dump-guest-core=off");
	/* Half the default translation cache: QEMU's own memory is counted in the cage. */
	option(a, "-accel", "tcg,thread=multi,tb-size=64");
	option(a, "-cpu", "max,-la57,-pku");
	arg(a, "-smp");
	arg(a, "%u", s->cpus);
	arg(a, "-m");
	arg(a, "%uM", s->memory_mib);
	arg(a, "-object");
	arg(a, "memory-backend-memfd,id=ram,size=%uM,share=on", s->memory_mib);
	option(a, "-kernel", VMM_KERNEL);
	option(a, "-initrd", VMM_INITRD);
	kernel_line(a, s);
}

static void devices(struct args *a, const struct vmm_spec *s)
{
	option(a, "-blockdev",
	    "driver=raw,node-name=root,read-only=on,file.driver=file,file.filename=" VMM_ROOT_DISK
	    ",file.locking=off");
	option(a, "-device", "virtio-blk-pci,drive=root,serial=root");
	option(a, "-blockdev",
	    "driver=raw,node-name=scratch,discard=unmap,file.driver=file,file."
	    "filename=" VMM_SCRATCH_DISK);
	option(a, "-device", "virtio-blk-pci,drive=scratch,serial=scratch");
	arg(a, "-netdev");
	arg(a, "tap,id=net,fd=%d,vhost=off", VMM_TAP_FD);
	arg(a, "-device");
	arg(a, "virtio-net-pci,netdev=net,mac=%s,romfile=", s->mac);
	/* Each port has a device of its own: curing one resets all ports of its device. */
	option(a, "-chardev", "socket,id=control,path=" VMM_GUEST_SOCK ",server=on,wait=off");
	option(a, "-device", "virtio-serial-pci,id=serial0,max_ports=2");
	option(a, "-device", "virtserialport,bus=serial0.0,chardev=control,name=ward.control");
	option(a, "-chardev", "socket,id=log,path=" VMM_LOG_SOCK ",server=on,wait=off");
	option(a, "-device", "virtio-serial-pci,id=serial1,max_ports=2");
	option(a, "-device", "virtserialport,bus=serial1.0,chardev=log,name=ward.log");
	option(a, "-object", "rng-random,id=rng,filename=/dev/urandom");
	option(a, "-device", "virtio-rng-pci,rng=rng");
	option(a, "-chardev", "file,id=console,path=" VMM_CONSOLE);
	option(a, "-serial", "chardev:console");
}

static int run(const struct vmm_spec *s, struct err *e)
{
	struct args a = { 0 };
	char *env[] = { NULL };
	buf_init(&a.text, ARG_BYTES + 1);
	if (buf_reserve(&a.text, ARG_BYTES) < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for QEMU's arguments");
	machine(&a, s);
	devices(&a, s);
	int r = a.failed ? err_set(e, ERR_TOO_LARGE, "QEMU's arguments are too long") : 0;
	/* sockets of an earlier run: the agent starts one monitor at a time */
	unlink(VMM_GUEST_SOCK);
	unlink(VMM_LOG_SOCK);
	if (r == 0) {
		execve(QEMU, a.v, env);
		r = err_sys(e, errno, "cannot become %s", QEMU);
	}
	buf_done(&a.text);
	return r;
}

const struct engine engine_emulated = {
	.id = WARDD_ENGINE_EMULATED, .name = "emulated", .run = run
};
