/* Guest RAM as anonymous memory. What lies between low and high RAM is vmm/base/map.h's business. */
#include "vmm/memory.h"

#include <errno.h>
#include <sys/mman.h>

#include "vmm/base/map.h"

uint64_t memory_max_bytes(unsigned int phys_bits)
{
	uint64_t space = 1ull << MIN(phys_bits, 48u); /* the 64-bit PCI window's width, vmm/machine.c */

	/* Up to half of the address space, where that window begins; the hole below 4 GiB is not RAM. */
	return space <= 8 * GIB ? MAP_LOW_RAM_MAX : space / 2 - (MAP_HIGH_RAM_BASE - MAP_LOW_RAM_MAX);
}

/*
 * Reserve bytes at a host address that is congruent to guest-physical 0 modulo the largest page that
 * fits, so that the host can use huge pages for guest pages. Low RAM ends on a gigabyte whenever there
 * is high RAM, so one congruent mapping serves both. Returns NULL with errno set.
 */
static uint8_t *map_congruent(uint64_t bytes)
{
	uint64_t align = bytes >= GIB ? GIB : 2 * MIB;
	uint8_t *raw, *at;

	if (bytes > SIZE_MAX - align) {
		errno = ENOMEM;
		return NULL;
	}
	raw = mmap(NULL, bytes + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		   -1, 0);
	if (raw == MAP_FAILED)
		return NULL;
	at = (uint8_t *)(uintptr_t)align_up((uintptr_t)raw, align);
	if (at > raw)
		munmap(raw, (size_t)(at - raw));
	munmap(at + bytes, (size_t)(raw + bytes + align - (at + bytes)));
	return at;
}

int memory_init(struct memory *mem, uint64_t bytes, struct err *e)
{
	int rc;

	*mem = (struct memory){ 0 };
	mem->low_bytes = MIN(bytes, MAP_LOW_RAM_MAX);
	mem->high_bytes = bytes - mem->low_bytes;
	mem->backing.hva = map_congruent(bytes);
	if (!mem->backing.hva)
		return err_sys(e, -errno, "cannot map %llu MiB of guest memory",
			       (unsigned long long)(bytes / MIB));
	mem->backing.bytes = bytes;

	rc = gmem_add(&mem->gmem, 0, mem->low_bytes, mem->backing.hva, e);
	if (rc == 0 && mem->high_bytes)
		rc = gmem_add(&mem->gmem, MAP_HIGH_RAM_BASE, mem->high_bytes,
			      mem->backing.hva + mem->low_bytes, e);
	if (rc < 0)
		memory_fini(mem);
	return rc;
}

void memory_fini(struct memory *mem)
{
	if (mem->backing.hva)
		munmap(mem->backing.hva, mem->backing.bytes);
	*mem = (struct memory){ 0 };
}

int memory_attach(struct memory *mem, struct kvm *kvm, struct err *e)
{
	for (unsigned int i = 0; i < mem->gmem.nr_ranges; i++) {
		const struct gmem_range *r = &mem->gmem.range[i];
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = r->gpa,
			.memory_size = r->len,
			.userspace_addr = (uintptr_t)r->hva,
		};

		if (kvm_ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
			return err_sys(e, -errno, "KVM_SET_USER_MEMORY_REGION at 0x%llx",
				       (unsigned long long)r->gpa);
	}
	return 0;
}
