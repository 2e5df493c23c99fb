/*
 * A disk's MSI-X in rough hands: messages to nowhere, into memory and with vectors that do not exist, garbage in
 * the table by every width, masks and switches turned under I/O. What is masked is kept, and comes once.
 *
 * virtio 1.2, 4.1.5.1.2; PCI Local Bus 3.0, 6.8; SDM vol. 3A, 11.11: a message that is not written to
 * 0xfeexxxxx is no interrupt.
 *
 * Not for QEMU 7.2: messages to memory, which it writes there; tables of garbage, which it sends.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/hostile_blk.h"
#include "lib/lapic.h"
#include "lib/pci.h"
#include "lib/tap.h"
#include "lib/trap.h"

#define Q      (&blk_queue)
#define VECTOR 0xa0

static volatile unsigned int nr_interrupts;

static void interrupt(struct trap_frame *frame)
{
	(void)frame;
	nr_interrupts++;
	lapic_eoi();
}

static void poke(uint64_t at, uint64_t bytes, uint64_t value)
{
	if (bytes == 1)
		cpu_write8(at, (uint8_t)value);
	else if (bytes == 2)
		cpu_write16(at, (uint16_t)value);
	else
		cpu_write32(at, (uint32_t)value);
}

/* A request with its queue on an entry: how many interrupts came? */
static unsigned int with_vector(unsigned int *came)
{
	unsigned int was = nr_interrupts, result;

	cpu_enable_interrupts();
	result = blk_read();
	CLOCK_WAIT_FOR(nr_interrupts != was, CLOCK_MS(3));
	cpu_disable_interrupts();
	*came = nr_interrupts - was;
	return result;
}

static void unroute(void)
{
	virtio_msix_enable(&blk, false);
	virtio_msix_route(&blk, 0, 0, 0, true);
}

static unsigned int msix_entry(uint64_t address, uint64_t data)
{
	unsigned int came, result;

	virtio_msix_route(&blk, 0, address, (uint32_t)data, false);
	virtio_msix_enable(&blk, true);
	virtq_set_vector(Q, 0);
	result = with_vector(&came);
	unroute();
	return came ? WRONG : result;
}

static unsigned int msix_entry_in_arena(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	return msix_entry((uint64_t)arena + 0x40, 0x41424344);
}

static unsigned int msix_vector_beyond(uint64_t vector, uint64_t b)
{
	(void)b;
	virtio_msix_enable(&blk, true);
	if (virtq_set_vector(Q, (uint16_t)vector) != VIRTIO_NO_VECTOR)
		return WRONG;
	virtio_put16(&blk, VIRTIO_CONFIG_VECTOR, (uint16_t)vector);
	if (virtio_get16(&blk, VIRTIO_CONFIG_VECTOR) != VIRTIO_NO_VECTOR)
		return WRONG;
	return blk_read();
}

/* Masked, the message waits and shows in the pending bits; unmasked, it comes, once. */
static unsigned int msix_masked(uint64_t whole_function, uint64_t b)
{
	unsigned int came, result;
	bool pending;

	(void)b;
	virtio_msix_route(&blk, 0, lapic_msi_address(lapic_id()), VECTOR, !whole_function);
	pci_write(blk.bdf, blk.msix + 2, 2, whole_function ? 0xc000 : 0x8000);
	if (virtq_set_vector(Q, 0) != 0)
		return WRONG;
	result = with_vector(&came);
	pending = CLOCK_WAIT_FOR(virtio_msix_pending(&blk, 0), CLOCK_MS(500));	/* a moment behind the used buffer */
	if (result == SERVED && (came || !pending))
		result = WRONG;
	cpu_write32(blk.pending, 0);	/* read-only */
	came = nr_interrupts;
	cpu_enable_interrupts();
	virtio_msix_route(&blk, 0, lapic_msi_address(lapic_id()), VECTOR, false);
	pci_write(blk.bdf, blk.msix + 2, 2, 0x8000);
	CLOCK_WAIT_FOR(nr_interrupts != came, CLOCK_MS(500));
	cpu_disable_interrupts();
	if (nr_interrupts - came != 1 || virtio_msix_pending(&blk, 0))
		result = WRONG;
	unroute();
	return result;
}

/* Bytes and words into the table, over the ends of entries and of the table. */
static unsigned int msix_garbage(uint64_t bytes, uint64_t value)
{
	virtio_msix_enable(&blk, true);
	virtq_set_vector(Q, 0);
	for (uint64_t at = 0; at + bytes <= 16ull * blk.nr_vectors + 32; at += bytes)
		if (at % 16 + bytes <= 12)	/* all but the mask bits: what is masked harms nobody */
			poke(blk.table + at, bytes, value);
	for (uint64_t at = 0; at < 32; at += bytes)
		poke(blk.pending + at, bytes, value);
	virtio_msix_enable(&blk, false);
	return blk_read();
}

static unsigned int msix_switch_storm(uint64_t nr, uint64_t b)
{
	unsigned int came = NOTHING;

	(void)b;
	virtio_msix_route(&blk, 0, lapic_msi_address(lapic_id()), VECTOR, false);
	virtio_msix_enable(&blk, true);
	virtq_set_vector(Q, 0);
	cpu_enable_interrupts();
	for (unsigned int i = 0; i < nr; i++) {
		pci_write(blk.bdf, blk.msix + 2, 2, i % 4 << 14);
		virtio_msix_route(&blk, 0, lapic_msi_address(lapic_id()), VECTOR, i & 1);
		came = blk_read();
		arena_reset();
		if (came != SERVED)
			break;
	}
	cpu_disable_interrupts();
	unroute();
	return came;
}

static const struct hostile_case cases[] = {
	{ "msix_address_0_no_interrupt", SERVED, msix_entry, 0, 0, CASE_NOT_QEMU },
	{ "msix_address_all_ones_no_interrupt", SERVED, msix_entry, -4ull, 0xffffffff, CASE_NOT_QEMU },
	{ "msix_address_in_hole_no_interrupt", SERVED, msix_entry, 0x50000000, VECTOR, 0 },
	{ "msix_address_above_4_gib_no_interrupt", SERVED, msix_entry, 0x1fee00000, VECTOR, CASE_NOT_QEMU },
	{ "msix_address_in_memory_writes_nothing", SERVED, msix_entry_in_arena, 0, 0, CASE_NOT_QEMU },
	{ "msix_to_no_cpu_no_interrupt", SERVED, msix_entry, 0xfee7f000, VECTOR, 0 },
	{ "msix_vector_0_no_interrupt", SERVED, msix_entry, 0xfee00000, 0, 0 },
	{ "msix_vector_15_no_interrupt", SERVED, msix_entry, 0xfee00000, 15, CASE_NOT_QEMU },
	{ "queue_vector_one_beyond_reads_none", SERVED, msix_vector_beyond, 0x100, 0, 0 },
	{ "queue_vector_far_beyond_reads_none", SERVED, msix_vector_beyond, 0xfffe, 0, 0 },
	{ "msix_masked_entry_kept_pending", SERVED, msix_masked, 0, 0, 0 },
	{ "msix_masked_function_kept_pending", SERVED, msix_masked, 1, 0, 0 },
	{ "msix_table_written_by_bytes_harmless", SERVED, msix_garbage, 1, 0xff, CASE_NOT_QEMU },
	{ "msix_table_written_by_words_harmless", SERVED, msix_garbage, 2, 0xdead, CASE_NOT_QEMU },
	{ "msix_table_of_garbage_harmless", SERVED, msix_garbage, 4, 0xdeadbeef, CASE_NOT_QEMU },
	{ "msix_on_and_off_under_io_served", SERVED, msix_switch_storm, 16, 0, 0 },
};

void test_main(void)
{
	trap_set_handler(VECTOR, interrupt);
	blk_init();
	HOSTILE_RUN(&blk_rig, cases);
}
