#include "vmm/probe.h"
#include "base/clock.h"
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

enum { MEMORY = 0x10000, PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, CODE = 0x8000, ROUNDS = 3 };

/* mov ecx, N/2; 1: dec ecx; jnz 1b; hlt */
static const uint8_t code[] = { 0xb9, (PROBE_INSTRUCTIONS / 2) & 255, (PROBE_INSTRUCTIONS / 2) >> 8,
	0, 0, 0xff, 0xc9, 0x75, 0xfc, 0xf4 };

struct vm {
	int kvm, vm, cpu;
	uint8_t *memory;
	struct kvm_run *run;
	size_t run_size;
};

static void vm_done(struct vm *m)
{
	if (m->run && m->run != MAP_FAILED)
		munmap(m->run, m->run_size);
	if (m->memory && m->memory != MAP_FAILED)
		munmap(m->memory, MEMORY);
	for (int i = 0; i < 3; i++) {
		int fd = i == 0 ? m->cpu : i == 1 ? m->vm : m->kvm;
		if (fd >= 0)
			close(fd);
	}
}

/* The first step that fails, by name; NULL when all is made. */
static const char *vm_make(struct vm *m)
{
	*m = (struct vm){ .kvm = -1, .vm = -1, .cpu = -1 };
	m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (m->kvm < 0)
		return "open /dev/kvm";
	if (ioctl(m->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return "ask for KVM's version";
	m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0);
	if (m->vm < 0)
		return "make a VM";
	m->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m->memory == MAP_FAILED)
		return "get memory";
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY,
		.userspace_addr = (uintptr_t)m->memory };
	if (ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region))
		return "give it memory";
	m->cpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
	if (m->cpu < 0)
		return "make a CPU";
	int size = ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run))
		return "ask for the CPU's shared page";
	m->run_size = (size_t)size;
	m->run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->cpu, 0);
	return m->run == MAP_FAILED ? "map the CPU's shared page" : NULL;
}

static void put64(uint8_t *at, uint64_t v)
{
	memcpy(at, &v, sizeof(v));
}

/* Long mode with the first 2 MiB mapped onto themselves (AMD64 manual volume 2, 14.6). */
static const char *vm_set_long_mode(struct vm *m)
{
	enum {
		PRESENT_WRITE = 3,
		LARGE = 0x80,
		PE = 1,
		PG = 1U << 31,
		PAE = 0x20,
		LME = 0x100,
		LMA = 0x400
	};
	put64(m->memory + PML4, PDPT | PRESENT_WRITE);
	put64(m->memory + PDPT, PD | PRESENT_WRITE);
	put64(m->memory + PD, LARGE | PRESENT_WRITE);
	memcpy(m->memory + CODE, code, sizeof(code));
	struct kvm_sregs s;
	if (ioctl(m->cpu, KVM_GET_SREGS, &s))
		return "read the CPU's state";
	s.cr3 = PML4;
	s.cr4 = PAE;
	s.cr0 = PE | (uint64_t)PG;
	s.efer = LME | LMA;
	s.cs = (struct kvm_segment){
		.limit = ~0U, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
	};
	struct kvm_segment data = {
		.limit = ~0U, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
	};
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	return ioctl(m->cpu, KVM_SET_SREGS, &s) ? "set 64-bit mode" : NULL;
}

static const char *vm_time(struct vm *m, uint64_t *ret_us)
{
	struct kvm_regs regs = { .rip = CODE, .rflags = 2, .rsp = CODE };
	if (ioctl(m->cpu, KVM_SET_REGS, &regs))
		return "set the registers";
	uint64_t begin = clock_mono_us();
	if (ioctl(m->cpu, KVM_RUN, 0))
		return "run the CPU";
	*ret_us = MAX(clock_mono_us() - begin, (uint64_t)1);
	return m->run->exit_reason == KVM_EXIT_HLT ? NULL : "reach the end of the code";
}

void probe_kvm(struct probe *ret)
{
	struct vm m;
	uint64_t best = UINT64_MAX, us;
	*ret = (struct probe){ 0 };
	const char *failed = vm_make(&m);
	if (!failed)
		failed = vm_set_long_mode(&m);
	for (int i = 0; !failed && i < ROUNDS; i++) {
		us = 0;
		failed = vm_time(&m, &us);
		best = MIN(best, us);
	}
	int num = errno;
	if (failed) {
		snprintf(ret->how, sizeof(ret->how), "could not %s: %s", failed,
		    m.run ? "the guest stopped elsewhere" : strerror(num));
	} else {
		ret->instructions_per_second = PROBE_INSTRUCTIONS * 1000000ULL / best;
		ret->usable = ret->instructions_per_second >= PROBE_USABLE_PER_SECOND;
		snprintf(ret->how, sizeof(ret->how),
		    "%d instructions in 64-bit mode took %llu us (best of %d); %d a second are "
		    "needed",
		    PROBE_INSTRUCTIONS, (unsigned long long)best, ROUNDS, PROBE_USABLE_PER_SECOND);
	}
	vm_done(&m);
}
