/*
 * The floor below trellis' start-up: the system calls that every VMM has to make from exec to the guest's first
 * port access, and nothing else. No devices, no tables, no checks beyond "it failed".
 *
 *   floor [--cpus N] IMAGE      128 MiB of RAM; IMAGE: a 32-bit ELF that is entered in flat protected mode
 *
 * Prints one line like `trellis run --timing` does, and exits.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { RAM_BYTES = 128 << 20, MAX_CPUS = 4096, STACK_BYTES = 128 << 10, NR_PINS = 24, PIT_PIN = 2 };

enum step { KVM, MEMORY, VCPUS, LOAD, GUEST, NR_STEPS };

struct timing {
	uint64_t main_ns, last_ns; /* CLOCK_MONOTONIC */
	uint64_t took_ns[NR_STEPS];
};

struct vcpu {
	int fd;
	struct kvm_run *run;
	struct timing *timing; /* the first one's thread alone goes on with it */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static _Noreturn void fail(const char *what)
{
	dprintf(STDERR_FILENO, "floor: %s: %s\n", what, strerror(errno));
	_exit(1);
}

/* Pass on a result that is not negative. */
static int must(int rc, const char *what)
{
	if (rc < 0)
		fail(what);
	return rc;
}

static void *must_map(size_t bytes, int flags, int fd)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (at == MAP_FAILED)
		fail("mmap");
	return at;
}

/* What was done since the last step's end belongs to this one. */
static void step_end(struct timing *t, enum step step)
{
	uint64_t now = now_ns();

	t->took_ns[step] += now - t->last_ns;
	t->last_ns = now;
}

static _Noreturn void report_and_exit(struct timing *t)
{
	static const char *const name[NR_STEPS] = { "kvm", "memory", "vcpus", "load", "guest" };
	char line[256] = "";
	size_t len = 0;

	step_end(t, GUEST);
	for (unsigned int i = 0; i < NR_STEPS; i++)
		len += (size_t)snprintf(line + len, sizeof(line) - len, " %s=%llu", name[i],
					(unsigned long long)t->took_ns[i] / 1000);
	dprintf(STDERR_FILENO, "floor: timing us:%s total=%llu main_ns=%llu end_ns=%llu\n", line,
		(unsigned long long)(t->last_ns - t->main_ns) / 1000, (unsigned long long)t->main_ns,
		(unsigned long long)t->last_ns);
	_exit(0);
}

/* A processor's thread. The first one meets the guest's port write; the others wait for a SIPI for ever. */
static void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;

	for (;;) {
		int rc = ioctl(v->fd, KVM_RUN, 0);

		if (rc < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		must(rc, "KVM_RUN");
		if (v->run->exit_reason == KVM_EXIT_IO)
			report_and_exit(v->timing);
		errno = EIO;
		fail("the guest did not come to its port write");
	}
}

static int make_vm(int kvm)
{
	int vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	uint64_t identity = 0xfeffc000;

	must(ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity), "KVM_SET_IDENTITY_MAP_ADDR");
	must(ioctl(vm, KVM_SET_TSS_ADDR, 0xfeffd000ul), "KVM_SET_TSS_ADDR");
	return vm;
}

static void route(struct kvm_irq_routing *routes, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	struct kvm_irq_routing_entry *r = &routes->entries[routes->nr++];

	r->gsi = gsi;
	r->type = KVM_IRQ_ROUTING_IRQCHIP;
	r->u.irqchip.irqchip = chip;
	r->u.irqchip.pin = pin;
}

static void make_chips(int vm)
{
	struct kvm_irq_routing *routes = calloc(1, sizeof(*routes) + 2 * NR_PINS * sizeof(routes->entries[0]));
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (!routes)
		fail("calloc");
	must(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	must(ioctl(vm, KVM_CREATE_PIT2, &pit), "KVM_CREATE_PIT2");
	for (uint32_t gsi = 0; gsi < NR_PINS; gsi++) {
		if (gsi < 16)
			route(routes, gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
		if (gsi != PIT_PIN)
			route(routes, gsi, KVM_IRQCHIP_IOAPIC, gsi ? gsi : PIT_PIN);
	}
	must(ioctl(vm, KVM_SET_GSI_ROUTING, routes), "KVM_SET_GSI_ROUTING");
	free(routes);
}

static uint8_t *make_memory(int vm)
{
	uint8_t *ram = must_map(RAM_BYTES, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	struct kvm_userspace_memory_region slot = { .memory_size = RAM_BYTES, .userspace_addr = (uintptr_t)ram };

	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
	return ram;
}

static struct vcpu *make_vcpus(int kvm, int vm, unsigned int nr, struct timing *timing)
{
	size_t run_bytes = (size_t)must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
	struct vcpu *v = calloc(nr, sizeof(*v));

	if (!cpuid || !v)
		fail("calloc");
	cpuid->nent = 256;
	must(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
	for (unsigned int i = 0; i < nr; i++) {
		v[i].timing = timing;
		v[i].fd = must(ioctl(vm, KVM_CREATE_VCPU, (unsigned long)i), "KVM_CREATE_VCPU");
		v[i].run = must_map(run_bytes, MAP_SHARED, v[i].fd);
		must(ioctl(v[i].fd, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
	}
	free(cpuid);
	return v;
}

/* Copy what the program headers say. Returns the entry point. */
static uint32_t load(const char *path, uint8_t *ram)
{
	int fd = must(open(path, O_RDONLY | O_CLOEXEC), path);
	Elf32_Phdr ph[16];
	Elf32_Ehdr eh;

	errno = ENOEXEC;
	must(pread(fd, &eh, sizeof(eh), 0) == sizeof(eh) && eh.e_phnum <= 16 ? 0 : -1, path);
	must((int)pread(fd, ph, eh.e_phnum * sizeof(ph[0]), eh.e_phoff), path);
	for (unsigned int i = 0; i < eh.e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD)
			continue;
		must(ph[i].p_filesz <= RAM_BYTES && ph[i].p_paddr <= RAM_BYTES - ph[i].p_filesz ? 0 : -1, path);
		must((int)pread(fd, ram + ph[i].p_paddr, ph[i].p_filesz, ph[i].p_offset), path);
	}
	close(fd);
	return eh.e_entry;
}

/* 32-bit protected mode, flat segments, no paging: as Multiboot wants it. */
static void enter(int vcpu, uint32_t entry)
{
	struct kvm_segment code = { .limit = ~0u, .selector = 0x10, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1 };
	struct kvm_segment data = code;
	struct kvm_regs regs = { .rip = entry, .rflags = 2, .rax = 0x2badb002 };
	struct kvm_sregs s;

	must(ioctl(vcpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	data.type = 3;
	data.selector = 0x18;
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x11; /* PE, ET */
	must(ioctl(vcpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
	must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void start_threads(struct vcpu *v, unsigned int nr)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (unsigned int i = 0; i < nr; i++) {
		errno = pthread_create(&thread, &attr, vcpu_main, &v[i]);
		must(errno ? -1 : 0, "pthread_create");
	}
	pthread_join(thread, NULL); /* the process ends before */
}

/*
 * Memory before the interrupt chips: these leave work for the kernel to do after a grace period, and a new memory
 * slot would wait for that (4 ms on Linux 6.18; virt/kvm/kvm_main.c, kvm_swap_active_memslots()).
 */
static void build(const char *path, unsigned int nr_cpus, struct timing *t)
{
	int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int vm = make_vm(kvm);
	struct vcpu *v;
	uint8_t *ram;

	step_end(t, KVM);
	ram = make_memory(vm);
	step_end(t, MEMORY);
	make_chips(vm);
	step_end(t, KVM);
	v = make_vcpus(kvm, vm, nr_cpus, t);
	step_end(t, VCPUS);
	enter(v[0].fd, load(path, ram));
	step_end(t, LOAD);
	start_threads(v, nr_cpus);
}

int main(int argc, char **argv)
{
	uint64_t main_ns = now_ns();
	struct timing t = { .main_ns = main_ns, .last_ns = main_ns };
	bool cpus_given = argc == 4 && !strcmp(argv[1], "--cpus");
	unsigned long nr = cpus_given ? strtoul(argv[2], NULL, 10) : 1;

	if ((argc != 2 && !cpus_given) || nr < 1 || nr > MAX_CPUS) {
		fprintf(stderr, "usage: floor [--cpus N] IMAGE\n");
		return 2;
	}
	build(argv[argc - 1], (unsigned int)nr, &t);
	return 1; /* not reached: the first processor's thread ends the process */
}
