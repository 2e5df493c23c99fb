/*
 * What KVM alone takes for one slot of guest memory, before any of it is touched: tools/bench subtracts it from the
 * time that a large guest needs to start. It runs nothing.
 *
 *   slot MIB
 *
 * Prints "slot=US" in microseconds: KVM_SET_USER_MEMORY_REGION, on a machine that has nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int fail(const char *what)
{
	fprintf(stderr, "slot: %s: %s\n", what, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	struct kvm_userspace_memory_region slot = {
		.guest_phys_addr = 4ull << 30,
		.memory_size = argc == 2 ? strtoull(argv[1], NULL, 10) << 20 : 0,
	};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm;
	uint64_t start;
	void *ram;

	if (!slot.memory_size) {
		fprintf(stderr, "usage: slot MIB\n");
		return 2;
	}
	vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		return fail("/dev/kvm");
	ram = mmap(NULL, slot.memory_size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram == MAP_FAILED)
		return fail("mmap");
	slot.userspace_addr = (uintptr_t)ram;
	start = now_us();
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return fail("KVM_SET_USER_MEMORY_REGION");
	printf("slot=%llu\n", (unsigned long long)(now_us() - start));
	return 0;
}
